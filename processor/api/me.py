"""``GET /v1/me``: who the caller is, as far as this service is concerned."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import hdrs, web

from processor.core.caller import Caller, ServiceCaller, UserCaller
from processor.core.errors import StoreError
from processor.problem import Problem, problem_response

PATH: Final = "/v1/me"
Identify = Callable[[web.Request], Awaitable[Caller]]
"""Tells whose request it is. Raises `Problem`, or `StoreError` if it cannot tell."""

log = structlog.get_logger()


def me_handler(identify: Identify) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Answers 200 with account, application, how that was proven and until when it counts; and problems."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            if request.method != hdrs.METH_GET:
                raise Problem("method_not_allowed")  # noqa: TRY301  all refusals leave by one door
            return _told(await _known(identify, request))
        except Problem as problem:
            log.warning("request.refused", path=PATH, status=problem.status.value, reason=problem.reason)
            return problem_response(problem, allow=hdrs.METH_GET)

    return handle


async def _known(identify: Identify, request: web.Request) -> UserCaller:
    try:
        caller = await identify(request)
    except StoreError:
        raise Problem("store_unavailable") from None
    if isinstance(caller, ServiceCaller):
        raise Problem("scope_missing")
    return caller


def _told(user: UserCaller) -> web.Response:
    me = {
        "app": user.app,
        "account": user.account,
        "proven_by": user.proven_by,
        "expires_at": user.expires_at and user.expires_at.isoformat(),
    }
    return web.json_response(me, headers={hdrs.CACHE_CONTROL: "no-store"})
