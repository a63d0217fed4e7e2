"""The HTTP server: its routes, and the limits of every request."""

from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Final

from aiohttp import hdrs, http_parser, web

from processor.web.connections import SERVER
from processor.web.problem import COMMON_HEADERS

KEEPALIVE_SECONDS: Final = 15.0
"""Also the time after which a client whose headers never end is cut off."""
_HANDSHAKE_BYTES: Final = 8190

Health = Callable[[], Awaitable[Mapping[str, object]]]
"""The state of the service's parts; ``status`` is ``ok`` if a webhook sent now would be stored. Takes bounded time."""


def assert_fast_parser() -> None:
    """Refuse to start with aiohttp's parser in Python, which is slower and more lenient than the one in C."""
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise RuntimeError("aiohttp runs without its C parser: install a wheel of it, or build it with a C compiler")


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def web_application(
    webhooks: Handler, health: Health, api: Mapping[str, Handler], *, body_bytes: int
) -> web.Application:
    """The routes: ``api`` are those for apps and services, by path; ``body_bytes`` is how long a body may be.

    Every path below ``/webhooks`` is a webhook that is checked: never a 404.
    """
    app = web.Application(client_max_size=body_bytes)
    app.on_response_prepare.append(_add_common_headers)
    app.router.add_route("*", "/webhooks/{app}", webhooks)
    app.router.add_route("*", "/webhooks/{app}/", webhooks)
    app.router.add_route("*", "/webhooks{app:(?s:.*)}", webhooks)
    for path, handler in api.items():
        app.router.add_route("*", path, handler)
    app.router.add_get("/healthz", _healthz)
    app.router.add_get("/readyz", _readyz(health))
    return app


def runner_of(
    app: web.Application, runner: Callable[..., web.AppRunner] = web.AppRunner, *, shutdown: timedelta
) -> web.AppRunner:
    """A ``runner`` for ``app`` with the limits of all connections. It leaves signals to its caller.

    When it is closed, requests under way have ``shutdown`` to end.
    """
    return runner(
        app,
        access_log=None,
        handle_signals=False,
        keepalive_timeout=KEEPALIVE_SECONDS,
        auto_decompress=False,
        max_line_size=_HANDSHAKE_BYTES,
        max_field_size=_HANDSHAKE_BYTES,
        lingering_time=2.0,
        shutdown_timeout=shutdown.total_seconds(),
    )


async def _add_common_headers(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update({hdrs.SERVER: SERVER, **COMMON_HEADERS})


async def _healthz(_request: web.Request) -> web.Response:
    """The process lives."""
    return web.json_response({"status": "ok"})


def _readyz(health: Health) -> Handler:
    async def handle(_request: web.Request) -> web.StreamResponse:
        state = await health()
        return web.json_response(dict(state), status=200 if state["status"] == "ok" else 503)

    return handle
