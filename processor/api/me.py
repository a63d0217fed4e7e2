"""``GET /v1/me``: who the caller is; ``DELETE /v1/session``: the caller's session ends."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import structlog
from aiohttp import web

from processor.api.callers import read_bearer
from processor.api.endpoint import json_response
from processor.core.access.caller import Caller, ServiceCaller
from processor.store.ports import SessionStore
from processor.web.problem import Problem
from schemas.api import Me

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class MeHandlers:
    """The handlers."""

    admit: Callable[[web.Request], Awaitable[Caller]]
    """As `processor.api.callers.RequestAuthenticator.admit`."""
    sessions: SessionStore

    async def get_me(self, request: web.Request) -> web.StreamResponse:
        """200 with the account, the application, the kind of proof and its expiry."""
        user = await self.admit(request)
        if isinstance(user, ServiceCaller):
            raise Problem("scope_missing")
        return json_response(
            Me(app=user.app, account=user.account, proven_by=user.proven_by, expires_at=user.expires_at)
        )

    async def sign_out(self, request: web.Request) -> web.StreamResponse:
        """204: the session has ended. Xumm's own tokens cannot be ended here."""
        user = await self.admit(request)
        if isinstance(user, ServiceCaller) or user.proven_by != "session":
            raise Problem("scope_missing")
        await self.sessions.end(read_bearer(request))
        log.info("session.ended", app=user.app)
        return web.Response(status=204)
