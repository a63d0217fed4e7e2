"""``GET /v1/me``: who the caller is, as far as this service is concerned."""

from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from aiohttp import hdrs, web

from processor.core.caller import Caller, ServiceCaller, UserCaller
from processor.core.errors import StoreError
from processor.problem import Problem, problem_response
from schemas.api import Me

PATH: Final = "/v1/me"
Identify = Callable[[web.Request], Awaitable[Caller]]
"""Tells whose request it is. Raises `Problem`, or `StoreError` if it cannot tell."""

log = structlog.get_logger()


def me_handler(identify: Identify) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Answers 200 with account, application, how that was proven and until when it counts; and problems."""

    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            if request.method != hdrs.METH_GET:
                raise Problem("method_not_allowed", headers={hdrs.ALLOW: hdrs.METH_GET})  # noqa: TRY301  all refusals leave by one door
            return _told(await _known(identify, request))
        except Problem as problem:
            log.warning("request.refused", path=PATH, status=problem.status.value, reason=problem.reason)
            return problem_response(problem)

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
    me = Me(app=user.app, account=user.account, proven_by=user.proven_by, expires_at=user.expires_at)
    return web.Response(
        body=me.model_dump_json(), content_type="application/json", headers={hdrs.CACHE_CONTROL: "no-store"}
    )
