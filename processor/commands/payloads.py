"""``payloads``: the flagged ones, which wait for an operator, and how their flags are removed."""

import getpass
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from processor.commands.configured import load_settings, read_store
from processor.observability.terminal import AsJson, CommandError, ExitCode, answer, say, say_rows

if TYPE_CHECKING:
    from processor.core.payload.state import PayloadState
    from processor.settings.service import Settings
    from processor.store.payloads import FlaggedPayload
    from processor.store.store import Store

commands = typer.Typer(no_args_is_help=True, help="Flagged payloads: they get no outcome until an operator acts.")
_MAX_REASON = 500


@commands.command()
def flagged(
    *,
    app: Annotated[str, typer.Option(help="Only this application's.")] = "",
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=100_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List flagged payloads, the longest flagged first. Exits with 1 if there is none.

    Reads while the service runs. OUTCOMES_DISAGREE, for information: a webhook or a socket contradicted the proven
    outcome; LATE_OUTCOME: another outcome was published before; ABANDONED: lookups failed for 24 h; the others name
    the contradiction in Xumm's API.

    Try:

      processor payloads flagged --app shop
    """
    from processor.store.payloads import list_flagged

    with read_store(load_settings()) as store:
        rows = [_row(each) for each in store.run(list_flagged, app or None, limit)]
    say_rows(rows, as_json=as_json)
    answer(yes=bool(rows))


@commands.command()
def release(
    payload: Annotated[str, typer.Argument(help="The payload's UUID.")],
    *,
    reason: Annotated[str, typer.Option(help="Why; logged.", show_default=False)],
    app: Annotated[str, typer.Option(help="The payload's application, if several know it.")] = "",
) -> None:
    """Remove the flags of a payload, and look it up again. On SQLite, stop the service first.

    The stored evidence is deleted, and Xumm's next answer decides: if the contradiction is still there, the
    payload is flagged again. Exits with 1 if there is no such payload, or if it has no flags.

    Try:

      processor payloads release 12345678-90ab-4cde-8f01-234567890abc --reason "the node was of a test network"
    """
    import structlog

    from processor.observability import logs
    from processor.settings.service import secrets_of
    from processor.store.store import Store

    loaded, why = load_settings(), _reason(reason)
    logs.configure(loaded.log_format, "info", secrets=secrets_of(loaded), stream=sys.stderr.buffer)
    with Store.open(loaded.database_url) as store:
        state = _find_flagged(store, payload.lower(), app or None)
        _apply(store, state, loaded)
    names = _names(state)
    log = structlog.get_logger()
    log.info("payload.released", app=state.app, payload=state.payload, flags=names, by=_operator(), reason=why)
    follows = "it will be looked up" if state.resolved is None else f"it stays resolved as {state.resolved}"
    say(f"released from {names}; {follows}")


def _reason(text: str) -> str:
    text = text.strip()
    if not text or len(text) > _MAX_REASON or not text.isprintable():
        raise CommandError(f"--reason: must be one line of 1 to {_MAX_REASON} characters", ExitCode.USAGE)
    return text


def _find_flagged(store: "Store", payload: str, app: str | None) -> "PayloadState":
    from processor.store.payloads import find_all

    known = store.run(find_all, payload, app)
    if not known:
        raise CommandError(f"no payload {payload} is known" + (f" of {app}" if app else ""), ExitCode.NO)
    waiting = [state for state in known if state.flags]
    if not waiting:
        raise CommandError(f"payload {payload} is not flagged", ExitCode.NO)
    if len(waiting) > 1:
        names = ", ".join(state.app for state in waiting)
        raise CommandError(
            f"payload {payload} is flagged for several applications: choose with --app: {names}", ExitCode.USAGE
        )
    return waiting[0]


def _apply(store: "Store", state: "PayloadState", loaded: "Settings") -> None:
    from processor.core.payload.entry import Reported
    from processor.core.reports.report import FlagsReleased
    from processor.settings.service import applications_of

    application = applications_of(loaded).get(state.app)
    if application is None or application.uuid != state.application_uuid:
        raise CommandError(
            f"application {state.app!r} is not configured, so nothing could look the payload up", ExitCode.NO
        )
    now = datetime.now(UTC)
    report = FlagsReleased(app=state.app, application_uuid=state.application_uuid, payload=state.payload, at=now)
    store.record([Reported(report=report, policy=application.policy)], now)


def _row(each: "FlaggedPayload") -> dict[str, Any]:
    return {
        "app": each.state.app,
        "payload": each.state.payload,
        "since": each.since.isoformat(timespec="seconds"),
        "flags": _names(each.state),
        "resolved": each.state.resolved,
    }


def _names(state: "PayloadState") -> str:
    from processor.core.payload.state import names_of

    return names_of(state.flags)


def _operator() -> str:
    """The name of the user, before sudo if that was used."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
