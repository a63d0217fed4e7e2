"""``POST /v1/watches``: follow a payload to its end."""

from dataclasses import dataclass
from http import HTTPStatus

from aiohttp import web

from processor.api.callers import RequestAuthenticator, check_permission
from processor.api.endpoint import json_response, parse_body
from processor.core.access.caller import UserCaller
from processor.watching.watch_requests import UnknownApplication, WatchRequests
from processor.web.bodies import Bodies
from processor.web.problem import Problem
from schemas.api import Watched
from schemas.commands import WatchCommand


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchHandlers:
    """The handler."""

    watch_requests: WatchRequests
    authenticator: RequestAuthenticator
    bodies: Bodies

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """202 if the payload is followed from now on, 200 if it was or has ended. For services alone."""
        caller = await self.authenticator.authorize(request, "watches")
        if isinstance(caller, UserCaller):
            raise Problem("scope_missing")
        command = await parse_body(request, WatchCommand, self.bodies)
        check_permission(caller, "watches", command.app)
        try:
            news = await self.watch_requests.watch(command)
        except UnknownApplication:
            raise Problem("application_forbidden") from None
        status = HTTPStatus.ACCEPTED if news else HTTPStatus.OK
        return json_response(Watched(result="accepted" if news else "known"), status)
