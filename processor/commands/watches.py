"""``watches`` and ``outcomes``: the payloads that are watched, and which sources reported their outcomes."""

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from processor.commands.configured import load_settings, post, read_store, service_url
from processor.observability.terminal import AsJson, CommandError, ExitCode, answer, say, say_json, say_rows, say_table

if TYPE_CHECKING:
    from processor.core.payload.status_socket import Watch
    from processor.settings.service import Settings
    from processor.store.outcomes import SourceShare

commands = typer.Typer(no_args_is_help=True, help="Payloads whose sockets are watched.")
KEY_VARIABLE: Final = "XUMM_SERVICE_KEY"


@commands.command("list")
def list_watches(
    *,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=100_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List the payloads that are watched, the longest watched first. Exits with 1 if there is none."""
    from processor.store.watches import list_oldest

    loaded = load_settings()
    with read_store(loaded) as store:
        rows = [_row(watch, loaded) for watch in store.run(list_oldest, limit)]
    say_rows(rows, as_json=as_json)
    answer(yes=bool(rows))


@commands.command()
def add(
    app: Annotated[str, typer.Argument(help="The application's name.")],
    payload: Annotated[str, typer.Argument(help="The payload's UUID.")],
    *,
    key: Annotated[
        str, typer.Option(help="A service key; better in the variable.", envvar=KEY_VARIABLE, show_default=False)
    ] = "",
) -> None:
    """Ask the running service to watch a payload to its end. Exits with 1 if it refuses.

    Try:

      XUMM_SERVICE_KEY=xwp_... processor watches add shop 12345678-90ab-4cde-8f01-234567890abc
    """
    from processor.api.operations import build_path

    loaded = load_settings()
    if not key:
        raise CommandError(f"no key: set {KEY_VARIABLE} (`processor keys create` makes one)", ExitCode.USAGE)
    url = service_url(loaded) + build_path("watch")
    status, said = post(url, {"Authorization": f"Bearer {key}"}, json={"app": app, "payload": payload})
    say(f"{url} answered {status} {said}".rstrip())
    answer(yes=status < HTTPStatus.MULTIPLE_CHOICES)


def outcomes(
    *,
    since: Annotated[str, typer.Option(help="How far back: 90m, 24h, 7d.")] = "24h",
    as_json: AsJson = False,
) -> None:
    """Show which source reported outcomes first, how late, and how many webhooks never came.

    Try:

      processor outcomes --since 7d
    """
    from processor.store.outcomes import summarize

    loaded, now = load_settings(), datetime.now(UTC)
    with read_store(loaded) as store:
        found = store.run(summarize, now - _duration(since), now)
    shares = [_share(share) for share in found.sources]
    if as_json:
        counts = {
            "total": found.total,
            "webhooks_due": found.webhooks_due,
            "webhooks_missed": found.webhooks_missed,
        }
        say_json(counts | {"sources": shares})
        return
    if shares:
        say_table([name.upper() for name in shares[0]], [list(share.values()) for share in shares])
    say(f"{found.total} outcomes; of {found.webhooks_due} webhooks that were due, {found.webhooks_missed} never came")


def _row(watch: "Watch", loaded: "Settings") -> dict[str, Any]:
    from processor.core.payload.state import Fact
    from processor.core.payload.status_socket import watched_until
    from processor.settings.service import applications_of

    application = applications_of(loaded).get(watch.state.app)
    until = None if application is None else watched_until(watch.state, application.policy)
    return {
        "app": watch.state.app,
        "payload": watch.state.payload,
        "since": _iso(watch.since),
        "until": _iso(until),
        "facts": Fact(watch.state.facts).name or "-",
        "holder": watch.holder,
        "leased_until": _iso(watch.leased_until),
    }


def _share(share: "SourceShare") -> dict[str, Any]:
    return {
        "source": share.source,
        "count": share.count,
        "median_late_s": _seconds(share.median_late),
        "most_late_s": _seconds(share.most_late),
    }


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat(timespec="seconds")


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else round(duration.total_seconds(), 3)


def _duration(text: str) -> timedelta:
    from pydantic import TypeAdapter, ValidationError

    from processor.settings.value_types import Duration

    adapter: TypeAdapter[timedelta] = TypeAdapter(Duration)
    try:
        return adapter.validate_python(text)
    except ValidationError:
        raise CommandError("--since: must be a duration such as 90m, 24h or 7d", ExitCode.USAGE) from None
