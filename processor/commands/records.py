"""``deliveries`` and ``quarantine``: what the store remembers of webhooks. Reads while the service runs."""

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from processor.commands.configured import load_settings, post, webhook_url
from processor.observability.terminal import AsJson, CommandError, ExitCode, answer, complain, say, say_rows

if TYPE_CHECKING:
    from processor.core.application import Application
    from processor.settings.service import Settings
    from processor.store.deliveries import QuarantinedBody

Number = Annotated[int, typer.Argument(help="Its number in `processor quarantine list`.", min=1)]
Limit = Annotated[int, typer.Option(help="At most so many.", min=1, max=10_000)]

quarantine = typer.Typer(no_args_is_help=True, help="Authentic webhooks that made no sense.")


def deliveries(
    *,
    payload: Annotated[str, typer.Option(help="Only this payload's.")] = "",
    app: Annotated[str, typer.Option(help="Only this application's.")] = "",
    verdict: Annotated[
        str, typer.Option(help="Only these: accepted, duplicate, quarantined, signature_invalid ...")
    ] = "",
    limit: Limit = 20,
    as_json: AsJson = False,
) -> None:
    """Show the latest webhook deliveries, newest first. Exits with 1 if there is none.

    Try:

      processor deliveries --verdict signature_invalid

      processor deliveries --payload 12345678-90ab-4cde-8f01-234567890abc --json
    """
    from processor.store.store import Store

    with Store.open_read_only(load_settings().database_url) as store:
        found = store.deliveries(payload=payload.lower() or None, app=app or None, verdict=verdict or None, limit=limit)
    rows: list[dict[str, Any]] = [
        {
            "received_at": record.received_at.isoformat(timespec="milliseconds"),
            "app": record.app,
            "payload": record.payload,
            "attempt": record.attempt,
            "verdict": record.verdict,
            "latency_ms": round(record.latency_us / 1000, 2),
        }
        for record in found
    ]
    _show(rows, as_json=as_json)
    answer(yes=bool(rows))


@quarantine.command("list")
def list_bodies(*, limit: Limit = 100, as_json: AsJson = False) -> None:
    """List what is in quarantine, oldest first."""
    rows = [_summary(body) for body in _held(limit)]
    _show(rows, as_json=as_json)


@quarantine.command()
def show(
    number: Number, *, raw: Annotated[bool, typer.Option("--raw", help="The body's bytes, tokens included.")] = False
) -> None:
    """Show one body, user tokens masked."""
    from processor.observability.redaction import clean_text

    body = _body(number)
    if raw:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
        return
    say(clean_text(body.decode("utf-8", "backslashreplace")))


@quarantine.command()
def replay(
    number: Number, *, url: Annotated[str, typer.Option(help="The webhook's URL, if not as configured.")] = ""
) -> None:
    """Hand one body to the running service again, signed anew: for when the service has learned to read it.

    Exits with 1 if it still makes no sense; nothing is sent then.
    """
    from processor.settings.service import applications_of

    loaded = load_settings()
    held = next((each for each in _held(10_000) if each.id == number), None)
    if held is None:
        raise CommandError(f"there is no number {number} in quarantine", ExitCode.NO)
    application = applications_of(loaded).get(held.app)
    if application is None:
        raise CommandError(f"application {held.app!r} is not configured any more", ExitCode.NO)
    body = _body(number)
    _refuse_senseless(application, body)
    target = url or webhook_url(loaded, held.app)
    status, said = post(target, _signed_headers(application, body), data=body)
    say(f"{target} answered {status} {said}".rstrip())
    if status != 200 or said == "quarantined":  # noqa: PLR2004  HTTP OK
        raise typer.Exit(ExitCode.NO)
    _release(loaded, number)


def _refuse_senseless(application: "Application", body: bytes) -> None:
    from processor.core.delivery.authentication import Delivery
    from processor.core.errors import NormalizeError
    from processor.core.reports.normalize import webhook_report

    try:
        webhook_report(Delivery(application=application, body=body, received_at=datetime.now(UTC), attempt=None))
    except NormalizeError as error:
        raise CommandError(f"it still makes no sense: {error}", ExitCode.NO) from None


def _signed_headers(application: "Application", body: bytes) -> dict[str, str]:
    from processor.core.delivery.signature import HEADER_SIGNATURE, HEADER_TIMESTAMP, sign

    timestamp = str(int(datetime.now(UTC).timestamp()))
    return {
        "content-type": "application/json",
        HEADER_TIMESTAMP: timestamp,
        HEADER_SIGNATURE: sign(application.secrets[0].key, timestamp, body),
    }


def _release(loaded: "Settings", number: int) -> None:
    """Take it out of quarantine, where the database can be written to beside the service."""
    from processor.core.errors import StoreLocked
    from processor.store.store import Store

    try:
        with Store.open(loaded.database_url) as store:
            store.release(number, datetime.now(UTC))
    except StoreLocked:
        reason = "with SQLite only the running service writes to the database"
        complain("processor", f"number {number} stays listed: {reason}")


def _held(limit: int) -> "list[QuarantinedBody]":
    from processor.store.store import Store

    with Store.open_read_only(load_settings().database_url) as store:
        return store.quarantined(limit)


def _body(number: int) -> bytes:
    from processor.store.store import Store

    with Store.open_read_only(load_settings().database_url) as store:
        body = store.quarantined_body(number)
    if body is None:
        raise CommandError(f"there is no number {number} in quarantine", ExitCode.NO)
    return body


def _summary(body: "QuarantinedBody") -> dict[str, Any]:
    return {
        "number": body.id,
        "received_at": body.received_at.isoformat(timespec="milliseconds"),
        "app": body.app,
        "payload": body.payload,
        "bytes": body.size,
        "reason": body.reason,
    }


def _show(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """The rows, without secrets: an unknown application's name is whatever somebody put into a URL."""
    from processor.observability.redaction import Redactor
    from processor.settings.service import secrets_of

    redactor = Redactor.of(secrets_of(load_settings()))
    rows = [
        {
            name: redactor.line(value.encode()).decode() if isinstance(value, str) else value
            for name, value in row.items()
        }
        for row in rows
    ]
    say_rows(rows, as_json=as_json)
