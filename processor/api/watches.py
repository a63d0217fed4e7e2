"""``POST /v1/watches``: follow a payload to its end."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from aiohttp import hdrs, web

from processor.api.callers import Callers, permitted
from processor.api.endpoint import Handler, answered
from processor.api.request import said
from processor.core.access.caller import UserCaller
from processor.watching.watch_requests import UnknownApplication, WatchRequests
from processor.web.bodies import Bodies
from processor.web.problem import Problem
from schemas.api import Watched
from schemas.commands import WatchCommand

PATH: Final = "/v1/watches"


class WatchDesk:
    """The handler."""

    def __init__(self, registry: WatchRequests, callers: Callers, bodies: Bodies) -> None:
        self._registry = registry
        self._callers = callers
        self._bodies = bodies

    @property
    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """The methods of the path."""
        return {PATH: {hdrs.METH_POST: self.watch}}

    async def watch(self, request: web.Request) -> web.StreamResponse:
        """202 if the payload is followed from now on, 200 if it was or had ended. For services alone."""
        caller = await self._callers.permitted(request, "watches")
        if isinstance(caller, UserCaller):
            raise Problem("scope_missing")
        command = await said(request, WatchCommand, self._bodies)
        permitted(caller, "watches", command.app)
        try:
            news = await self._registry.watch(command)
        except UnknownApplication:
            raise Problem("application_forbidden") from None
        status = HTTPStatus.ACCEPTED if news else HTTPStatus.OK
        return answered(Watched(result="accepted" if news else "known"), status)
