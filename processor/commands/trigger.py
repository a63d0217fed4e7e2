"""``trigger``: send one webhook to a running service, without Xumm."""

import asyncio
from http import HTTPStatus
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from processor.commands.configured import load_settings, webhook_url
from processor.observability.terminal import AsJson, CommandError, ExitCode, answer, say, say_json

if TYPE_CHECKING:
    from processor.sandbox.trigger import Target

WebhookKind = Literal[
    "signed",
    "rejected",
    "duplicate",
    "badsig",
    "stale",
    "future",
    "tampered",
    "malformed",
    "contradictory",
    "unknown-app",
    "oversized",
    "compressed",
]
DEMO: Final = "demo"
EXPECTED_STATUS: Final[dict[WebhookKind, int]] = {
    **dict.fromkeys(("badsig", "stale", "future", "tampered", "unknown-app"), HTTPStatus.UNAUTHORIZED.value),
    "oversized": HTTPStatus.REQUEST_ENTITY_TOO_LARGE.value,
    "compressed": HTTPStatus.UNSUPPORTED_MEDIA_TYPE.value,
}
"""The status that is expected, where it is not 200."""


def trigger(
    kind: Annotated[WebhookKind, typer.Argument(help="The kind of webhook.")],
    *,
    app: Annotated[str, typer.Option(help="The application of the webhook; needed if several are configured.")] = "",
    url: Annotated[str, typer.Option(help="The webhook's URL; otherwise that of the service as configured.")] = "",
    payload: Annotated[str, typer.Option(help="UUID of the payload; otherwise a new one.")] = "",
    as_json: AsJson = False,
) -> None:
    """Send a webhook, valid or not, to a running service.

    Shows the answer. Exits with 1 if it is not the expected one: 200; 401 for `badsig`, `stale`, `future`, `tampered`,
    `unknown-app`; 413 for `oversized`; 415 for `compressed`.

    If no application is configured, that of `processor dev` is used.

    Try:

      processor trigger signed

      processor trigger badsig --app shop --url https://hooks.example.com/webhooks/shop
    """
    from processor.sandbox import trigger as sandbox

    to = find_target(app, url)
    sent = asyncio.run(sandbox.trigger(kind, to, payload=payload or None))
    due = EXPECTED_STATUS.get(kind, HTTPStatus.OK.value)
    statuses = [getattr(outcome, "status", None) for _, outcome in sent.exchanges]
    if as_json:
        say_json({"kind": kind, "url": to.url, "payload": sent.payload, "due": due, "statuses": statuses})
    else:
        say(sandbox.render(sent))
    if None in statuses:
        raise CommandError(f"{to.url} did not answer; is the service running?")
    answer(yes=all(status == due for status in statuses))


def find_target(app: str, url: str) -> "Target":
    """The URL of the webhooks of application ``app``, and its credentials. Raises `CommandError`."""
    from processor.sandbox.trigger import Target

    loaded = load_settings()
    if not loaded.applications and app in {"", DEMO}:
        return _demo(url)
    name = app or (next(iter(loaded.applications)) if len(loaded.applications) == 1 else "")
    if name not in loaded.applications:
        known = ", ".join(loaded.applications) or "none; see `processor config`"
        raise CommandError(f"--app: name one of the applications that are configured: {known}", ExitCode.USAGE)
    application = loaded.applications[name]
    return Target(
        url=url or webhook_url(loaded, name),
        application=application.api_key,
        secret=application.api_secret.get_secret_value(),
    )


def _demo(url: str) -> "Target":
    """The application of `processor dev`, whose credentials are valid nowhere else."""
    from processor.dev.house import API_KEY, API_SECRET, SERVICE_PORT
    from processor.sandbox.trigger import Target

    return Target(url=url or f"http://127.0.0.1:{SERVICE_PORT}/webhooks/{DEMO}", application=API_KEY, secret=API_SECRET)
