"""How the commands of both programs answer: on stdout as text or JSON, errors as lines on stderr, then an exit code."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Annotated, Any, Final, NoReturn

import typer

from processor import __version__


class ExitCode(IntEnum):
    """The exit codes of every command; `EXIT_CODES` has the meaning of each."""

    OK = 0
    NO = 1
    USAGE = 2
    FAILED = 3
    INTERRUPTED = 130


EXIT_CODES: Final[Mapping[ExitCode, str]] = {
    ExitCode.OK: "yes, or done",
    ExitCode.NO: "no: invalid, differs, refused, not found",
    ExitCode.USAGE: "the command line or a setting is wrong",
    ExitCode.FAILED: "could not be done: broker, database or service out of reach",
    ExitCode.INTERRUPTED: "interrupted",
}
EXIT_CODES_HELP: Final = f"Exit codes: {'; '.join(f'{code.value} {meaning}' for code, meaning in EXIT_CODES.items())}."

AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]


class CommandError(Exception):
    """A command could not be carried out: why, in one line, and the exit code."""

    def __init__(self, message: str, code: ExitCode = ExitCode.FAILED) -> None:
        super().__init__(message)
        self.code = code


def add_version(app: typer.Typer) -> None:
    """Give a program the option ``--version``."""

    def show(wanted: bool) -> None:  # noqa: FBT001  the signature of an option's callback
        if wanted:
            say(f"{app.info.name} {__version__}")
            raise typer.Exit

    @app.callback()
    def take_options(
        *,
        _version: Annotated[
            bool, typer.Option("--version", help="Show the version.", callback=show, is_eager=True)
        ] = False,
    ) -> None:
        pass


def run_command(
    app: typer.Typer, codes: Callable[[], Mapping[type[Exception], ExitCode]], arguments: Sequence[str] | None = None
) -> NoReturn:
    """Run the command that ``arguments`` name, otherwise those of the process, and exit with its code.

    `CommandError`, the errors in ``codes()`` (the first match counts) and groups of these become lines on stderr.
    """
    code = _exit_code(app, codes, arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of the answer left, such as `head`. Python must not complain of that when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)


def _exit_code(
    app: typer.Typer, codes: Callable[[], Mapping[type[Exception], ExitCode]], arguments: Sequence[str] | None
) -> int | str | None:
    try:
        app(arguments)
    except SystemExit as done:
        return done.code
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except Exception as error:
        errors = list(_leaves(error))
        found = [_code_of(each, codes()) for each in errors]
        if None in found:
            raise
        complain(app.info.name or "", "\n".join(str(each) or type(each).__name__ for each in errors))
        return max(code for code in found if code is not None)
    return ExitCode.OK


def _leaves(error: Exception) -> Sequence[Exception]:
    if not isinstance(error, ExceptionGroup):
        return [error]
    return [leaf for each in error.exceptions for leaf in _leaves(each)]


def _code_of(error: Exception, codes: Mapping[type[Exception], ExitCode]) -> ExitCode | None:
    if isinstance(error, CommandError):
        return error.code
    return next((code for kind, code in codes.items() if isinstance(error, kind)), None)


def say(text: str) -> None:
    """Print an answer. Characters that a terminal would obey are escaped, except line ends and tabs."""
    sys.stdout.write(_escape(text, keep="\n\t") + "\n")


def say_json(value: Any) -> None:
    """Print an answer as JSON."""
    sys.stdout.write(json.dumps(value, ensure_ascii=True, indent=2, default=str) + "\n")


def say_result(value: Any, text: str, *, as_json: bool) -> None:
    """Print ``value`` as JSON, or else ``text``."""
    if as_json:
        say_json(value)
    else:
        say(text)


def say_table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print columns, each as wide as its widest cell; None is a dash."""
    cells = [[_escape("-" if cell is None else str(cell)) for cell in row] for row in (headings, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    for row in cells:
        say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def say_rows(rows: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print rows with the same names, as JSON or in columns."""
    if as_json:
        say_json(rows)
    elif rows:
        say_table([name.upper() for name in rows[0]], [list(row.values()) for row in rows])
    else:
        say("none")


def complain(program: str, text: str) -> None:
    """Print errors on stderr, each line with the program's name."""
    sys.stderr.write("".join(f"{program}: {_escape(line)}\n" for line in text.splitlines()))


def answer(*, yes: bool) -> None:
    """End the command with the code for yes or no."""
    if not yes:
        raise typer.Exit(ExitCode.NO)


def _escape(text: str, keep: str = "") -> str:
    from schemas.text import escape_unprintable  # not for `--help`: it takes a while to import

    return escape_unprintable(text, keep)
