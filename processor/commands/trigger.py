"""``trigger``: one webhook to a running service, without Xumm."""

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final

import typer

from processor.commands.terminal import AsJson, Code, CommandError, answer, say, say_json, settings, webhook_url
from processor.sandbox.webhook_kinds import WebhookKind

if TYPE_CHECKING:
    from processor.sandbox.trigger import WebhookTarget

DEMO: Final = "demo"
DUE: Final[dict[WebhookKind, int]] = {
    **dict.fromkeys(("badsig", "stale", "future", "tampered", "unknown-app"), HTTPStatus.UNAUTHORIZED.value),
    "oversized": HTTPStatus.REQUEST_ENTITY_TOO_LARGE.value,
    "compressed": HTTPStatus.UNSUPPORTED_MEDIA_TYPE.value,
}
"""The status that is due, where it is not 200."""


def trigger(
    kind: Annotated[WebhookKind, typer.Argument(help="What to send.")],
    *,
    app: Annotated[str, typer.Option(help="Application to speak for; needed if several are configured.")] = "",
    url: Annotated[str, typer.Option(help="The webhook's URL; otherwise that of the service as configured.")] = "",
    payload: Annotated[str, typer.Option(help="UUID of the payload; otherwise a new one.")] = "",
    as_json: AsJson = False,
) -> None:
    """Send a webhook, good or bad, to a running service.

    Shows what it answers. Exits with 1 if that is not the answer due: 200; 401 for `badsig`, `stale`, `future`,
    `tampered`, `unknown-app`; 413 for `oversized`; 415 for `compressed`.

    Without any application configured it speaks for the one of `processor dev`.

    Try:

      processor trigger signed

      processor trigger badsig --app shop --url https://hooks.example.com/webhooks/shop
    """
    from processor.sandbox import trigger as sandbox

    to = target(app, url)
    sent = asyncio.run(sandbox.trigger(kind, to, payload=payload or None))
    due = DUE.get(kind, HTTPStatus.OK.value)
    statuses = [getattr(outcome, "status", None) for _, outcome in sent.exchanges]
    if as_json:
        say_json({"kind": kind, "url": to.url, "payload": sent.payload, "due": due, "statuses": statuses})
    else:
        say(sandbox.render(sent))
    if None in statuses:
        raise CommandError(f"{to.url} did not answer; is the service running?")
    answer(yes=all(status == due for status in statuses))


def target(app: str, url: str) -> "WebhookTarget":
    """Where the webhooks of application ``app`` go, and its credentials. Raises `CommandError`."""
    from processor.sandbox.trigger import WebhookTarget

    loaded = settings()
    if not loaded.applications and app in {"", DEMO}:
        return _demo(url)
    name = app or (next(iter(loaded.applications)) if len(loaded.applications) == 1 else "")
    if name not in loaded.applications:
        known = ", ".join(loaded.applications) or "none; see `processor config`"
        raise CommandError(f"--app: name one of the applications that are configured: {known}", Code.USAGE)
    application = loaded.applications[name]
    return WebhookTarget(
        url=url or webhook_url(loaded, name),
        application=application.api_key,
        secret=application.api_secret.get_secret_value(),
    )


def _demo(url: str) -> "WebhookTarget":
    """The application that `processor dev` made up: its credentials open nothing else."""
    from processor.dev.composition import API_KEY, API_SECRET, SERVICE_PORT
    from processor.sandbox.trigger import WebhookTarget

    return WebhookTarget(
        url=url or f"http://127.0.0.1:{SERVICE_PORT}/webhooks/{DEMO}", application=API_KEY, secret=API_SECRET
    )
