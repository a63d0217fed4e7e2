"""The consumer that pushes.

A push cannot be part of a transaction, so a user may hear of an event twice after a crash: the event's id is the
collapse key, and devices served are remembered, so that a retry reaches only the others.
"""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import structlog

from consumers.push import devices
from consumers.push.channel import Channel, LogChannel, Unregistered
from consumers.push.devices import Device
from consumers.push.fcm import open_fcm
from consumers.push.notification import notification_of
from consumers.runtime.consumer import Consumer, Context, Resources
from consumers.runtime.errors import Fatal, Retry
from consumers.runtime.reason import describe
from schemas.data import SignedOutcome
from schemas.events import ResolveEvent, SignEvent

log = structlog.get_logger()


class Push(Consumer):
    """Pushes what users need to see to their devices."""

    queue = "push-notifications"
    tables = devices.METADATA

    def __init__(self, resources: Resources, channel: Channel | None = None) -> None:
        super().__init__(resources)
        self._channel = channel
        self._held_open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        settings = self.resources.settings
        if self._channel is None and settings.push_channel == "fcm":
            self._channel = await self._held_open.enter_async_context(open_fcm(settings))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._held_open.aclose()

    async def push(self, event: SignEvent | ResolveEvent, context: Context) -> None:
        """Serve every device of the user that was not served yet."""
        if notification_of(event, locale=None) is None:
            return
        owners = _owners(event)
        waiting = await context.database.read(lambda db: devices.unserved(db, event.id, owners))
        failures = [await self._push_to(device, event, context) for device in waiting]
        _raise_worst([failure for failure in failures if failure is not None])

    async def _push_to(self, device: Device, event: SignEvent | ResolveEvent, context: Context) -> Retry | Fatal | None:
        """Serve one device and remember it. A failure is returned, so that the others are served all the same."""
        language = self.resources.settings.push_language
        notification = notification_of(event, locale=device.locale, fallback=language)
        if notification is None:
            return None
        try:
            await (self._channel or LogChannel()).push(device, notification)
        except Unregistered:
            await context.database.write(lambda db: devices.remove(db, device.token))
            log.info("device.removed", device=devices.masked(device.token), platform=device.platform)
            return None
        except (Retry, Fatal) as failure:
            log.warning("push.failed", device=devices.masked(device.token), reason=describe(failure))
            return failure
        await context.database.write(lambda db: devices.note_served(db, event.id, device))
        return None

    async def housekeep(self) -> None:
        """Forget whom old events were pushed to."""
        retention = self.resources.settings.inbox_retention
        await self.resources.database.write(lambda db: devices.forget_served(db, retention))


def _owners(event: SignEvent | ResolveEvent) -> tuple[str, ...]:
    """By whom a device may have been registered: the user, and the account once it is known."""
    account = event.data.account if isinstance(event.data, SignedOutcome) else None
    return tuple(owner for owner in (event.data.user, account) if owner is not None)


def _raise_worst(failures: list[Retry | Fatal]) -> None:
    """Retry as long as any device may still be served, no sooner than every provider asked for; else give up."""
    retries = [failure for failure in failures if isinstance(failure, Retry)]
    if retries:
        waits = [failure.after for failure in retries if failure.after is not None]
        raise Retry(f"{len(failures)} devices not served: {retries[0]}", after=max(waits, default=None))
    if failures:
        raise Fatal(f"{len(failures)} devices not served: {failures[0]}")
