"""How commands speak: answers on stdout, as text or JSON; what went wrong as lines on stderr; a code at the end."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from processor.settings.loading import Configuration
    from processor.settings.service import Settings


class Code(IntEnum):
    """Exit codes of every command."""

    OK = 0
    NO = 1
    """The command worked, and the answer is no: invalid, differs, refused, not found."""
    USAGE = 2
    """The command line or a setting is wrong."""
    FAILED = 3
    """It could not be done: broker, database or service out of reach."""


class CommandError(Exception):
    """What a command could not do, in one line, with a code."""

    def __init__(self, message: str, code: Code = Code.FAILED) -> None:
        super().__init__(message)
        self.code = code


AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


def say(text: str) -> None:
    """One answer on stdout. What terminals obey is escaped."""
    safe = "".join(char if char.isprintable() or char in "\n\t" else f"\\u{ord(char):04x}" for char in text)
    sys.stdout.write(safe + "\n")


def say_json(value: Any) -> None:
    """One answer on stdout, as JSON."""
    sys.stdout.write(json.dumps(value, ensure_ascii=True, indent=2, default=str) + "\n")


def say_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Columns, as wide as they must be."""
    cells = [[str("-" if cell is None else cell) for cell in row] for row in (headings, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for row in cells:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def say_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Rows with the same names, as JSON or in columns."""
    if as_json:
        say_json(rows)
    elif rows:
        say_table([name.upper() for name in rows[0]], [list(row.values()) for row in rows])
    else:
        say("none")


def complain(text: str) -> None:
    """What went wrong, on stderr."""
    sys.stderr.write("".join(f"processor: {line}\n" for line in text.splitlines()))


def answer(*, yes: bool) -> None:
    """End the command with the code for yes or no."""
    if not yes:
        raise typer.Exit(Code.NO)


def configuration(environ: Mapping[str, str] = os.environ) -> "Configuration":
    """The settings and where they come from. Raises `SettingsError`."""
    from processor.settings.loading import load

    return load(environ, Path.cwd())


def settings() -> "Settings":
    """The settings. Raises `SettingsError`."""
    return configuration().settings


def webhook_url(loaded: "Settings", app: str) -> str:
    """Where the service takes this application's webhooks, seen from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(loaded.http_host, loaded.http_host)  # noqa: S104  compared only
    return f"http://{f'[{host}]' if ':' in host else host}:{loaded.http_port}/webhooks/{app}"
