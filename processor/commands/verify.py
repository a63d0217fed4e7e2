"""``verify``: whether a webhook's signature is valid, and if not, why."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from processor.commands.configured import load_settings
from processor.observability.terminal import AsJson, CommandError, ExitCode, answer, say_result

SECRET_VARIABLE = "XUMM_API_SECRET"  # noqa: S105  the name of a variable
MAX_BODY_BYTES = 2**24


def verify(  # noqa: PLR0913  a command's options
    *,
    timestamp: Annotated[str, typer.Option(help="x-xumm-request-timestamp, as it came.")],
    signature: Annotated[str, typer.Option(help="x-xumm-request-signature, as it came.")],
    secret: Annotated[
        str,
        typer.Option(
            help="The API secret. Others see it in the process list: rather use one of the "
            f"two below, or the variable {SECRET_VARIABLE}."
        ),
    ] = "",
    secret_file: Annotated[Path | None, typer.Option(help="A file with the API secret, or - for the terminal.")] = None,
    app: Annotated[str, typer.Option(help="Take the secret from this application's settings.")] = "",
    body: Annotated[Path | None, typer.Option(help="A file with the raw body; otherwise stdin.")] = None,
    now: Annotated[str, typer.Option(help="When it was received: Unix seconds or ISO 8601. Otherwise now.")] = "",
    as_json: AsJson = False,
) -> None:
    """Check a webhook's signature, and explain why it is not valid.

    The body is read from stdin, byte for byte. Prints `valid` and exits with 0, or prints each mistake with its remedy
    and exits with 1.

    Try:

      processor verify --app shop --timestamp 17... --signature bf... < body

      processor verify --secret-file - --body body --timestamp 17... ...
    """
    from processor.core.delivery.diagnosis import diagnose

    found = diagnose(_secret(secret, secret_file, app), timestamp, signature, _body(body), _instant(now))
    result = {"valid": found.valid, "findings": list(found.findings), "advice": list(found.advice)}
    mistakes = [f"{finding}: {advice}" for finding, advice in zip(found.findings, found.advice, strict=True)]
    say_result(result, "valid" if found.valid else "\n".join(mistakes), as_json=as_json)
    answer(yes=found.valid)


def _secret(secret: str, file: Path | None, app: str) -> str:
    given = [bool(secret), file is not None, bool(app)]
    if sum(given) > 1:
        raise CommandError("give one of --secret, --secret-file and --app", ExitCode.USAGE)
    if app:
        return _configured_secret(app)
    if file is not None:
        return _read_secret(file)
    if found := secret or os.environ.get(SECRET_VARIABLE, ""):
        return found
    raise CommandError(f"no secret: give --secret-file, --app, --secret, or set {SECRET_VARIABLE}", ExitCode.USAGE)


def _configured_secret(app: str) -> str:
    applications = load_settings().applications
    if app not in applications:
        known = ", ".join(applications) or "none"
        raise CommandError(f"no application is called {app!r}; configured: {known}", ExitCode.USAGE)
    return applications[app].api_secret.get_secret_value()


def _read_secret(file: Path) -> str:
    if str(file) == "-":
        return str(typer.prompt("API secret", hide_input=True, err=True))
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"--secret-file: cannot be read: {type(error).__name__}", ExitCode.USAGE) from None


def _body(file: Path | None) -> bytes:
    try:
        with sys.stdin.buffer if file is None else file.open("rb") as source:
            body = source.read(MAX_BODY_BYTES + 1)
    except OSError as error:
        raise CommandError(f"--body: cannot be read: {type(error).__name__}", ExitCode.USAGE) from None
    if len(body) > MAX_BODY_BYTES:
        raise CommandError(f"the body is longer than {MAX_BODY_BYTES} bytes", ExitCode.USAGE)
    return body


def _instant(text: str) -> datetime:
    if not text:
        return datetime.now(UTC)
    try:
        if text.isascii() and text.isdigit():
            return datetime.fromtimestamp(int(text), UTC)
        instant = datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        raise CommandError(
            "--now: must be Unix seconds or ISO 8601, such as 2024-01-01T00:00:00Z", ExitCode.USAGE
        ) from None
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
