"""``/v1/devices/{token}``: which devices a user is pushed to.

The registry is the push consumer's. What is asked here becomes a command on its queue, and is answered once the broker
holds it; so asking again is harmless, and the last one asked for wins.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import hdrs, web
from pydantic import TypeAdapter, ValidationError

from processor.api.callers import Callers, permitted
from processor.api.endpoint import Handler
from processor.api.request import said
from processor.broker.port import Publisher, PublishError
from processor.core.access.caller import UserCaller
from processor.core.access.service_key import Scope
from processor.core.application import Application
from processor.core.publishing.message import Message
from processor.core.sign_request.device import BadDevice, Owner, registration, removal
from processor.web.bodies import Bodies
from processor.web.problem import Problem
from schemas.api import DeviceRegistration
from schemas.commands import AnyDeviceCommand
from schemas.text import Account
from schemas.topology import PUSH_DEVICES

PATH: Final = "/v1/devices/{token}"
PATIENCE: Final = timedelta(seconds=5)
"""How long the broker may take to confirm."""
SCOPE: Final[Scope] = "devices"
_account: Final[TypeAdapter[str]] = TypeAdapter(Account)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceDesk:
    """The handlers."""

    callers: Callers
    publisher: Publisher
    """The way to `schemas.topology.COMMANDS`."""
    applications: Mapping[str, Application]
    bodies: Bodies
    clock: Callable[[], datetime]
    patience: timedelta = PATIENCE

    @property
    def routes(self) -> Mapping[str, Mapping[str, Handler]]:
        """The methods of the path."""
        return {PATH: {hdrs.METH_PUT: self.register, hdrs.METH_DELETE: self.remove}}

    async def register(self, request: web.Request) -> web.StreamResponse:
        """204 once the broker holds the registration."""
        owner = await self._owner(request)
        asked = await said(request, DeviceRegistration, self.bodies)
        try:
            command = registration(owner, request.match_info["token"], asked)
        except BadDevice as error:
            reason = "parameter_invalid" if error.field == "token" else "body_invalid"
            raise Problem(reason, errors=[(error.field, error.reason)]) from None  # type: ignore[arg-type]  # two literals
        return await self._ask(command)

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """204 once the broker holds the removal, whether there is such a device or not."""
        owner = await self._owner(request)
        try:
            command = removal(owner, request.match_info["token"])
        except BadDevice as error:
            raise Problem("parameter_invalid", errors=[(error.field, error.reason)]) from None
        return await self._ask(command)

    async def _owner(self, request: web.Request) -> Owner:
        """A user for themselves; a service for the account that its query names. Raises `Problem`."""
        caller = await self.callers.permitted(request, SCOPE)
        app, account, user = request.query.get("app"), request.query.get("account"), None
        permitted(caller, SCOPE, app)
        if isinstance(caller, UserCaller):
            if account not in {None, caller.account}:
                raise Problem("parameter_invalid", errors=[("account", "not_the_users")])
            app, account, user = caller.app, caller.account, caller.user
        application = self.applications.get(app or "")
        if application is None:
            raise Problem("application_forbidden")
        try:
            proven = _account.validate_python(account)
        except ValidationError:
            raise Problem("parameter_invalid", errors=[("account", "no_account")]) from None
        return Owner(application=application, account=proven, at=self.clock(), user=user)

    async def _ask(self, command: AnyDeviceCommand) -> web.StreamResponse:
        """Hand ``command`` over. Raises `Problem` unless the broker certainly holds it."""
        message = Message(
            id=command.id,
            type=command.type,
            app=command.source.rpartition("/")[2],
            payload=command.subject,
            routing_key=PUSH_DEVICES,
            body=command.model_dump_json().encode(),
            at=int(command.time.timestamp()),
        )
        try:
            async with asyncio.timeout(self.patience.total_seconds()):
                await self.publisher.publish(message)
        except (PublishError, TimeoutError) as error:
            log.error("device.request_failed", command=command.type, reason=str(error) or type(error).__name__)
            raise Problem("broker_unavailable") from None
        log.info("device.requested", command=command.type, command_id=command.id, device=command.subject)
        return web.Response(status=HTTPStatus.NO_CONTENT)
