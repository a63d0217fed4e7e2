"""The consumer that sends push notifications.

A push cannot be part of a transaction, so a device may receive it twice after a crash: the event's id is the collapse
key. Devices that were served are stored, so that a retry reaches only the others.
"""

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Final, Self

import structlog
from sqlalchemy import Connection

from consumers.push.channels.channel import Unregistered
from consumers.push.channels.providers import PushChannels, open_channels
from consumers.push.notification import QUIET, Notification, build_notification
from consumers.push.registry import commands, devices, pushes
from consumers.push.registry.devices import Device
from consumers.push.registry.subscription import check_service
from consumers.push.registry.tables import METADATA
from consumers.push.settings import PushSettings
from consumers.runtime.consumer import Consumer, Context, Resources
from consumers.runtime.errors import Fatal, Retry
from processor.observability.redaction import describe
from schemas.commands import DeviceRegistered, DeviceRegisteredData, DeviceRemoved
from schemas.data import SignedOutcome
from schemas.devices import Channel
from schemas.events import ResolveEvent, SignEvent
from schemas.topology import PUSH_DEVICES

log = structlog.get_logger()


AT_ONCE: Final = 16
"""Devices that are pushed to at once for one event, so that a slow provider does not delay the others."""


class Push(Consumer):
    """Pushes notifications of events to the devices of users, and keeps the registry of devices."""

    queue = "push-notifications"
    command_queues = (PUSH_DEVICES,)
    settings = PushSettings
    tables = METADATA
    schema_version = 3  # before claims, every device was notified of every application

    def __init__(self, resources: Resources, channels: PushChannels | None = None) -> None:
        super().__init__(resources)
        self._settings: PushSettings = resources.settings
        self._channels: PushChannels = channels or {}
        self._held_open = AsyncExitStack()
        self._delivering: set[Channel] = set()
        """Channels whose provider accepted a notification since the start."""

    async def __aenter__(self) -> Self:
        await self.resources.database.write(devices.renew_hashes)
        if not self._channels:
            self._channels = await self._held_open.enter_async_context(open_channels(self._settings))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._held_open.aclose()

    async def push(self, event: SignEvent | ResolveEvent, context: Context) -> None:
        """Push ``event`` to every device of the user that it was not pushed to yet."""
        if event.type in QUIET:
            return
        owners = _owners(event)
        application = event.data.application
        waiting = await context.database.read(lambda db: pushes.find_unserved(db, event.id, owners, application))
        turns = asyncio.Semaphore(AT_ONCE)

        async def serve(device: Device) -> Retry | Fatal | None:
            async with turns:
                return await self._serve(device, event, context)

        async with asyncio.TaskGroup() as group:
            serving = [group.create_task(serve(device)) for device in waiting]
        _raise_worst([failure for task in serving if (failure := task.result()) is not None])

    async def _serve(self, device: Device, event: SignEvent | ResolveEvent, context: Context) -> Retry | Fatal | None:
        """Push to one device and store that. A failure is returned, so that the other devices are served."""
        notification = build_notification(
            event,
            locale=device.locale,
            fallback=self._settings.push_language,
            with_reference=self._settings.push_reference,
        )
        if notification is None:
            return None
        try:
            await self._push(device, notification)
        except Unregistered as dead:
            await (self._remove if dead.certain else self._doubt)(device, dead, context)
            return None
        except (Retry, Fatal) as failure:
            log.warning(
                "push.failed", device=devices.mask_token(device.token), channel=device.channel, reason=describe(failure)
            )
            return failure
        await context.database.write(lambda db: _note_served(db, event.id, device))
        self._delivering.add(device.channel)
        return None

    async def _push(self, device: Device, notification: Notification) -> None:
        """Push through the device's channel. An unexpected exception of a channel becomes `Retry`."""
        channel = self._channels.get(device.channel)
        if channel is None:
            problem = f"CONSUMERS_PUSH_CHANNEL does not name {device.channel}, which a device is registered for"
            raise Unregistered(problem, certain=False)
        try:
            await channel.push(device, notification)
        except (Unregistered, Retry, Fatal):
            raise
        except Exception as error:
            raise Retry(describe(error)) from error

    async def _remove(self, device: Device, dead: Unregistered, context: Context) -> None:
        if await context.database.write(lambda db: devices.remove(db, device.token, added_by=dead.since)):
            _log_removed(device, dead)

    async def _doubt(self, device: Device, dead: Unregistered, context: Context) -> None:
        """Count a refusal that the settings may be to blame for: they are if the provider accepts no device at all."""
        event_id, delivering = context.event_id, device.channel in self._delivering
        if await context.database.write(lambda db: pushes.note_refusal(db, event_id, device, removable=delivering)):
            _log_removed(device, dead)
            return
        fields = {"device": devices.mask_token(device.token), "channel": device.channel, "reason": describe(dead)}
        if delivering:
            log.warning("device.token_rejected", **fields)
        else:
            log.error("push.misconfigured", **fields)

    async def register(self, command: DeviceRegistered, context: Context) -> None:
        """Register a device for the events of its account. An invalid one is logged, not dead-lettered."""
        device = _build_device(command.data)
        try:
            if device.channel == "webpush":
                check_service(device.token, self._settings.push_services)
            evicted = await context.database.write(lambda db: commands.register(db, device, at=command.time))
        except ValueError as error:
            log.warning("device.refused", device=command.subject, channel=device.channel, reason=describe(error))
            return
        if evicted is None:
            log.info("device.outdated", device=command.subject)
            return
        log.info("device.registered", device=command.subject, channel=device.channel, evicted=evicted)

    async def forget(self, command: DeviceRemoved, context: Context) -> None:
        """Remove a device from an account, if it is registered there."""
        data, at = command.data, command.time
        gone = await context.database.write(
            lambda db: commands.remove(db, data.account, data.device, application=data.application, at=at)
        )
        if gone:
            log.info("device.unregistered", device=command.subject)

    async def housekeep(self) -> None:
        """Delete old rows on served devices, and old claims on devices that were removed."""
        retention = self._settings.inbox_retention
        await self.resources.database.write(lambda db: pushes.forget_served(db, retention))
        horizon = datetime.now(UTC) - retention
        await self.resources.database.write(lambda db: commands.forget_claims(db, horizon))


def _owners(event: SignEvent | ResolveEvent) -> tuple[str, ...]:
    """The owners of the devices: the user who acted, by reference and account if known, and the user who was asked."""
    account = event.data.account if isinstance(event.data, SignedOutcome) else None
    return tuple({owner for owner in (event.data.user, event.data.asked_of, account) if owner is not None})


def _note_served(connection: Connection, event_id: str, device: Device) -> None:
    pushes.note_served(connection, event_id, device)
    pushes.clear_refusals(connection, device)


def _log_removed(device: Device, dead: Unregistered) -> None:
    log.info(
        "device.removed",
        device=devices.mask_token(device.token),
        platform=device.platform,
        channel=device.channel,
        reason=describe(dead),
    )


def _build_device(data: DeviceRegisteredData) -> Device:
    return Device(
        owner=data.account,
        token=data.token,
        platform=data.platform,
        locale=data.locale,
        channel=data.channel,
        keys=data.keys,
        application=data.application,
        user=data.user,
    )


def _raise_worst(failures: list[Retry | Fatal]) -> None:
    """Raise `Retry` if any device may still be served, after the longest wait asked for; else `Fatal`."""
    retries = [failure for failure in failures if isinstance(failure, Retry)]
    if retries:
        waits = [failure.after for failure in retries if failure.after is not None]
        raise Retry(f"{len(failures)} devices not served: {retries[0]}", after=max(waits, default=None))
    if failures:
        raise Fatal(f"{len(failures)} devices not served: {failures[0]}")
