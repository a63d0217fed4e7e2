"""``GET /v1/me``: who the caller is, as far as this service is concerned; ``DELETE /v1/session``: not any more."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import structlog
from aiohttp import hdrs, web

from processor.api.callers import bearer_of
from processor.api.endpoint import Handler, answered
from processor.core.access.caller import Caller, ServiceCaller
from processor.store.ports import SessionStore
from processor.web.problem import Problem
from schemas.api import Me

PATH: Final = "/v1/me"
SESSION_PATH: Final = "/v1/session"
Identify = Callable[[web.Request], Awaitable[Caller]]
"""Tells whose request it is. Raises `Problem`, or `StoreError` if it cannot tell."""

log = structlog.get_logger()


class MeDesk:
    """The handlers."""

    def __init__(self, identify: Identify, sessions: SessionStore) -> None:
        self._identify = identify
        self._sessions = sessions

    @property
    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """The methods of each path."""
        return {PATH: {hdrs.METH_GET: self.told}, SESSION_PATH: {hdrs.METH_DELETE: self.sign_out}}

    async def told(self, request: web.Request) -> web.StreamResponse:
        """200 with account, application, how that was proven and until when it counts."""
        user = await self._identify(request)
        if isinstance(user, ServiceCaller):
            raise Problem("scope_missing")
        return answered(Me(app=user.app, account=user.account, proven_by=user.proven_by, expires_at=user.expires_at))

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """204: the session that was presented has ended. Xumm's own tokens end by themselves."""
        user = await self._identify(request)
        if isinstance(user, ServiceCaller) or user.proven_by != "session":
            raise Problem("scope_missing")
        await self._sessions.end(bearer_of(request))
        log.info("session.ended", app=user.app)
        return web.Response(status=204)
