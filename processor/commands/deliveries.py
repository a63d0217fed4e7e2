"""``deliveries`` and ``quarantine``: the webhooks in the store. Both read while the service runs."""

import sys
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any

import typer

from processor.commands.configured import load_settings, post, read_store, webhook_url
from processor.observability.terminal import AsJson, CommandError, ExitCode, answer, complain, say, say_rows

if TYPE_CHECKING:
    from processor.core.application import Application
    from processor.settings.service import Settings
    from processor.store.deliveries import QuarantinedBody

Number = Annotated[int, typer.Argument(help="The body's number in `processor quarantine list`.", min=1)]
RowLimit = Annotated[int, typer.Option(help="How many at most.", min=1, max=10_000)]

quarantine = typer.Typer(no_args_is_help=True, help="Authentic webhooks with an invalid body.")


def deliveries(
    *,
    payload: Annotated[str, typer.Option(help="Only this payload's.")] = "",
    app: Annotated[str, typer.Option(help="Only this application's.")] = "",
    verdict: Annotated[
        str, typer.Option(help="Only with this verdict: accepted, duplicate, quarantined, signature_invalid ...")
    ] = "",
    limit: RowLimit = 20,
    as_json: AsJson = False,
) -> None:
    """Show the latest webhook deliveries, newest first. Exits with 1 if there is none.

    Try:

      processor deliveries --verdict signature_invalid

      processor deliveries --payload 12345678-90ab-4cde-8f01-234567890abc --json
    """
    from processor.store.deliveries import list_latest

    wanted = {"payload": payload.lower() or None, "app": app or None, "verdict": verdict or None}
    with read_store(load_settings()) as store:
        found = store.run(list_latest, **wanted, limit=limit)
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
    _say_clean(rows, as_json=as_json)
    answer(yes=bool(rows))


@quarantine.command("list")
def list_bodies(*, limit: RowLimit = 100, as_json: AsJson = False) -> None:
    """List the bodies in quarantine, oldest first."""
    rows: list[dict[str, Any]] = [
        {
            "number": body.id,
            "received_at": body.received_at.isoformat(timespec="milliseconds"),
            "app": body.app,
            "payload": body.payload,
            "bytes": body.size,
            "reason": body.reason,
        }
        for body in _list_bodies(limit)
    ]
    _say_clean(rows, as_json=as_json)


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
    """Sign one body anew and send it to the running service, whose new version may be able to parse it.

    Exits with 1 if it still cannot be parsed; nothing is sent then.
    """
    from processor.settings.service import applications_of

    loaded = load_settings()
    held = next((each for each in _list_bodies(10_000) if each.id == number), None)
    if held is None:
        raise CommandError(f"there is no number {number} in quarantine", ExitCode.NO)
    application = applications_of(loaded).get(held.app)
    if application is None:
        raise CommandError(f"application {held.app!r} is no longer configured", ExitCode.NO)
    body = _body(number)
    _check_body(application, body)
    target = url or webhook_url(loaded, held.app)
    status, said = post(target, _signed_headers(application, body), data=body)
    say(f"{target} answered {status} {said}".rstrip())
    answer(yes=status == HTTPStatus.OK and said != "quarantined")
    _release(loaded, number)


def _check_body(application: "Application", body: bytes) -> None:
    from processor.core.delivery.authentication import Delivery
    from processor.core.errors import NormalizeError
    from processor.core.reports.webhook import webhook_report

    try:
        webhook_report(Delivery(application=application, body=body, received_at=datetime.now(UTC), attempt=None))
    except NormalizeError as error:
        raise CommandError(f"it still cannot be parsed: {error}", ExitCode.NO) from None


def _signed_headers(application: "Application", body: bytes) -> dict[str, str]:
    from processor.core.delivery.signature import HEADER_SIGNATURE, HEADER_TIMESTAMP, sign

    timestamp = str(int(datetime.now(UTC).timestamp()))
    return {
        "content-type": "application/json",
        HEADER_TIMESTAMP: timestamp,
        HEADER_SIGNATURE: sign(application.secrets[0].key, timestamp, body),
    }


def _release(loaded: "Settings", number: int) -> None:
    """Take the body out of quarantine, if the database can be written to beside the service."""
    from processor.core.errors import StoreLocked
    from processor.store.deliveries import release_body
    from processor.store.store import Store

    try:
        with Store.open(loaded.database_url) as store:
            store.run(release_body, number, datetime.now(UTC))
    except StoreLocked:
        reason = "with SQLite only the running service writes to the database"
        complain("processor", f"number {number} stays listed: {reason}")


def _list_bodies(limit: int) -> "list[QuarantinedBody]":
    from processor.store.deliveries import list_quarantine

    with read_store(load_settings()) as store:
        return store.run(list_quarantine, limit)


def _body(number: int) -> bytes:
    from processor.store.deliveries import load_body

    with read_store(load_settings()) as store:
        body = store.run(load_body, number)
    if body is None:
        raise CommandError(f"there is no number {number} in quarantine", ExitCode.NO)
    return body


def _say_clean(rows: list[dict[str, Any]], *, as_json: bool) -> None:
    """Print the rows without secrets: the name of an unknown application is any text that stood in a URL."""
    from processor.observability.redaction import Redactor
    from processor.settings.service import secrets_of

    redactor = Redactor.of(secrets_of(load_settings()))
    rows = [
        {
            name: redactor.redact(value.encode()).decode() if isinstance(value, str) else value
            for name, value in row.items()
        }
        for row in rows
    ]
    say_rows(rows, as_json=as_json)
