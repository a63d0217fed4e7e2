"""``/v1/devices/{token}``: register and remove the devices to which a user's notifications are pushed.

The push consumer owns the registry of devices. A request becomes a command on its queue, and is answered once the
broker has confirmed the command. Repeating a request is harmless; the last command counts.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Final

import structlog
from aiohttp import web
from pydantic import TypeAdapter, ValidationError

from processor.api.callers import RequestAuthenticator, check_permission
from processor.api.endpoint import parse_body
from processor.broker.port import Publisher, PublishError
from processor.core.access.caller import UserCaller
from processor.core.access.service_key import Scope
from processor.core.application import Application
from processor.core.publishing.message import Message
from processor.core.sign_request.device import BadDevice, DeviceOwner, registration, removal
from processor.web.bodies import Bodies
from processor.web.problem import Problem, ProblemReason
from schemas.api import DeviceRegistration
from schemas.commands import AnyDeviceCommand
from schemas.text import Account
from schemas.topology import PUSH_DEVICES

PATIENCE: Final = timedelta(seconds=5)
"""How long the broker may take to confirm a command."""
SCOPE: Final[Scope] = "devices"
_account: Final[TypeAdapter[str]] = TypeAdapter(Account)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceHandlers:
    """The handlers."""

    authenticator: RequestAuthenticator
    publisher: Publisher
    """Publishes to the exchange `schemas.topology.COMMANDS`."""
    applications: Mapping[str, Application]
    bodies: Bodies
    clock: Callable[[], datetime]

    async def register(self, request: web.Request) -> web.StreamResponse:
        """204 once the broker has confirmed the registration."""
        owner = await self._identify_owner(request)
        device = await parse_body(request, DeviceRegistration, self.bodies)
        return await self._publish(lambda: registration(owner, request.match_info["token"], device))

    async def remove(self, request: web.Request) -> web.StreamResponse:
        """204 once the broker has confirmed the removal, whether there is such a device or not."""
        owner = await self._identify_owner(request)
        return await self._publish(lambda: removal(owner, request.match_info["token"]))

    async def _identify_owner(self, request: web.Request) -> DeviceOwner:
        """Return the caller if it is a user, or the account that a service names in the query. Raises `Problem`."""
        caller = await self.authenticator.authorize(request, SCOPE)
        app, account, user = request.query.get("app"), request.query.get("account"), None
        check_permission(caller, SCOPE, app)
        if isinstance(caller, UserCaller):
            if account not in {None, caller.account}:
                raise Problem("parameter_invalid", errors=[("account", "not_the_users")])
            app, account, user = caller.app, caller.account, caller.user
        application = self.applications.get(app or "")
        if application is None:
            raise Problem("application_forbidden")
        try:
            address = _account.validate_python(account)
        except ValidationError:
            raise Problem("parameter_invalid", errors=[("account", "no_account")]) from None
        return DeviceOwner(application=application, account=address, at=self.clock(), user=user)

    async def _publish(self, build_command: Callable[[], AnyDeviceCommand]) -> web.StreamResponse:
        """Publish a command. Raises `Problem` unless the device is good and the broker confirms the command."""
        try:
            command = build_command()
        except BadDevice as error:
            reason: ProblemReason = "parameter_invalid" if error.field == "token" else "body_invalid"
            raise Problem(reason, errors=[(error.field, error.reason)]) from None
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
            async with asyncio.timeout(PATIENCE.total_seconds()):
                await self.publisher.publish(message)
        except (PublishError, TimeoutError) as error:
            log.error("device.request_failed", command=command.type, reason=str(error) or type(error).__name__)
            raise Problem("broker_unavailable") from None
        log.info("device.requested", command=command.type, command_id=command.id, device=command.subject)
        return web.Response(status=HTTPStatus.NO_CONTENT)
