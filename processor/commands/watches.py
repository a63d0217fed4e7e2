"""``watches`` and ``outcomes``: which payloads are followed, and how it was learned how they ended."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from processor.commands.terminal import (
    AsJson,
    Code,
    CommandError,
    answer,
    say,
    say_json,
    say_rows,
    say_table,
    settings,
    webhook_url,
)

if TYPE_CHECKING:
    from processor.core.payload.watch import Watch
    from processor.settings.service import Settings
    from processor.store.outcomes import SourceShare

commands = typer.Typer(no_args_is_help=True, help="Payloads whose sockets are watched.")
KEY_VARIABLE: Final = "XUMM_SERVICE_KEY"
_TIMEOUT_SECONDS: Final = 15


@commands.command("list")
def list_watches(
    *,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1, max=100_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List the payloads that are watched, those that have been for the longest first. Exits with 1 if there is none."""
    from processor.store.store import Store
    from processor.store.watches import list_oldest

    loaded = settings()
    with Store.open_read_only(loaded.database_url) as store:
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
    """Ask the running service to follow a payload to its end. Exits with 1 if it refuses.

    Try:

      XUMM_SERVICE_KEY=xwp_... processor watches add shop 12345678-90ab-4cde-8f01-234567890abc
    """
    from processor.api.operations import build_path

    loaded = settings()
    if not key:
        raise CommandError(f"no key: set {KEY_VARIABLE} (`processor keys create` makes one)", Code.USAGE)
    url = webhook_url(loaded, app).removesuffix(f"/webhooks/{app}") + build_path("watch")
    status, said = asyncio.run(_post(url, {"app": app, "payload": payload}, key))
    say(f"{url} answered {status} {said}".rstrip())
    if status >= 300:  # noqa: PLR2004  anything but success
        raise typer.Exit(Code.NO)


def outcomes(
    *,
    since: Annotated[str, typer.Option(help="How far back: 90m, 24h, 7d.")] = "24h",
    as_json: AsJson = False,
) -> None:
    """Show how outcomes were learned: by which source first, how late, and how many webhooks never came.

    Try:

      processor outcomes --since 7d
    """
    from processor.store.outcomes import summarize
    from processor.store.store import Store

    loaded, now = settings(), datetime.now(UTC)
    with Store.open_read_only(loaded.database_url) as store:
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
        "since": _moment(watch.since),
        "until": _moment(until),
        "facts": Fact(watch.state.facts).name or "-",
        "holder": watch.holder,
        "leased_until": _moment(watch.leased_until),
    }


def _share(share: "SourceShare") -> dict[str, Any]:
    return {
        "source": share.source,
        "count": share.count,
        "median_late_s": _seconds(share.median_late),
        "most_late_s": _seconds(share.most_late),
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def _seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else round(duration.total_seconds(), 3)


def _duration(text: str) -> timedelta:
    from pydantic import TypeAdapter, ValidationError

    from processor.settings.value_types import Duration

    adapter: TypeAdapter[timedelta] = TypeAdapter(Duration)
    try:
        return adapter.validate_python(text)
    except ValidationError:
        raise CommandError("--since: must be a duration such as 90m, 24h or 7d", Code.USAGE) from None


async def _post(url: str, command: dict[str, str], key: str) -> tuple[int, str]:
    import aiohttp

    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    headers = {"Authorization": f"Bearer {key}"}
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(url, json=command, headers=headers, allow_redirects=False) as response,
        ):
            said = await response.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        raise CommandError(f"{url}: {type(error).__name__}; is the service running?") from None
    said = said if isinstance(said, dict) else {}
    return response.status, str(said.get("result") or said.get("reason") or "")
