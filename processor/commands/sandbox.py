"""``trigger`` and ``sandbox``: webhooks without Xumm."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from processor.commands.terminal import AsJson, Code, CommandError, answer, say, say_json, settings, webhook_url

if TYPE_CHECKING:
    from processor.sandbox.trigger import Target

Kind = Literal["signed", "rejected", "duplicate", "badsig", "stale", "tampered", "malformed", "unknown-app"]
DEMO: Final = "demo"
REFUSED: Final[tuple[Kind, ...]] = ("badsig", "stale", "tampered", "unknown-app")


def trigger(
    kind: Annotated[Kind, typer.Argument(help="What to send.")],
    *,
    app: Annotated[str, typer.Option(help="Application to speak for; needed if several are configured.")] = "",
    url: Annotated[str, typer.Option(help="The webhook's URL; otherwise that of the service as configured.")] = "",
    payload: Annotated[str, typer.Option(help="UUID of the payload; otherwise a new one.")] = "",
    as_json: AsJson = False,
) -> None:
    """Send a webhook, good or bad, to a running service.

    Shows what it answers. Exits with 1 if that is not the answer due: 200, or 401 for `badsig`, `stale`,
    `tampered`, `unknown-app`.

    Without any application configured it speaks for the one of `processor dev`.

    Try:

      processor trigger signed

      processor trigger badsig --app shop --url https://hooks.example.com/webhooks/shop
    """
    from processor.sandbox import trigger as sandbox

    target = _target(app, url)
    sent = asyncio.run(sandbox.trigger(kind, target, payload=payload or None))
    due = 401 if kind in REFUSED else 200
    statuses = [getattr(outcome, "status", None) for _, outcome in sent.exchanges]
    if as_json:
        say_json({"kind": kind, "url": target.url, "payload": sent.payload, "due": due, "statuses": statuses})
    else:
        say(sandbox.render(sent))
    if None in statuses:
        raise CommandError(f"{target.url} did not answer; is the service running?")
    answer(yes=all(status == due for status in statuses))


def sandbox(
    *,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 for a free one.")] = 8600,
    app: Annotated[str, typer.Option(help="Application to stand in for; otherwise credentials are made up.")] = "",
    webhook: Annotated[str, typer.Option(help="Where webhooks go; otherwise the service as configured.")] = "",
    factor: Annotated[float, typer.Option(help="Shortens the waits between attempts: 0.01 is 100 times faster.")] = 1.0,
) -> None:
    """Run a Xumm for development, until Ctrl-C.

    API, phone, webhook sender and ledger are on one port.

    Try:

      processor sandbox --app shop

      PROCESSOR_XUMM_URL=http://127.0.0.1:8600 processor run
    """
    from processor.sandbox import __main__ as program

    if not app:
        program.run(port=port, webhook=webhook, factor=factor)
        return
    target = _target(app, webhook)
    program.run(port=port, application=target.application, secret=target.secret, webhook=target.url, factor=factor)


def _demo(url: str) -> "Target":
    """The application that `processor dev` made up: its credentials open nothing else."""
    from processor.dev.house import API_KEY, API_SECRET, SERVICE_PORT
    from processor.sandbox.trigger import Target

    return Target(url=url or f"http://127.0.0.1:{SERVICE_PORT}/webhooks/{DEMO}", application=API_KEY, secret=API_SECRET)


def _target(app: str, url: str) -> "Target":
    from processor.sandbox.trigger import Target

    loaded = settings()
    if not loaded.applications and app in {"", DEMO}:
        return _demo(url)
    name = app or (next(iter(loaded.applications)) if len(loaded.applications) == 1 else "")
    if name not in loaded.applications:
        known = ", ".join(loaded.applications) or "none; see `processor config`"
        raise CommandError(f"--app: name one of the applications that are configured: {known}", Code.USAGE)
    application = loaded.applications[name]
    return Target(
        url=url or webhook_url(loaded, name),
        application=application.api_key,
        secret=application.api_secret.get_secret_value(),
    )
