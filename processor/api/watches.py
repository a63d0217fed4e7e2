"""``POST /v1/watches``: follow a payload to its end."""

from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import hdrs, web

from processor.api.request import authorized, said
from processor.core.errors import StoreError, StoreFull
from processor.core.service_key import ServiceKey
from processor.intake import Limits
from processor.problem import Problem, problem_response
from processor.registry import Registry, UnknownApplication
from schemas.commands import WatchCommand

PATH: Final = "/v1/watches"

log = structlog.get_logger()


def watches_handler(
    registry: Registry, keys: Sequence[ServiceKey], limits: Limits
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Answers 202 if the payload is followed from now on, 200 if it was or had ended, and problems."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return await _watch(request, registry, keys, limits)
        except Problem as problem:
            log.warning("request.refused", path=PATH, status=problem.status.value, reason=problem.reason)
            return problem_response(problem)

    return handle


async def _watch(
    request: web.Request, registry: Registry, keys: Sequence[ServiceKey], limits: Limits
) -> web.StreamResponse:
    if request.method != hdrs.METH_POST:
        raise Problem("method_not_allowed")
    key = authorized(request, keys, "watches")
    command = await said(request, WatchCommand, limits)
    if not key.covers(command.app):
        raise Problem("application_forbidden")
    try:
        news = await registry.watch(command)
    except UnknownApplication:
        raise Problem("application_forbidden") from None
    except StoreFull:
        raise Problem("outbox_full") from None
    except StoreError:
        raise Problem("store_unavailable") from None
    status = HTTPStatus.ACCEPTED if news else HTTPStatus.OK
    return web.json_response({"result": "accepted" if news else "known"}, status=status)
