"""The way to a device: the port, and the channel that only says what it would push."""

from datetime import datetime
from typing import Protocol

import structlog

from consumers.push.notification import Notification
from consumers.push.registry.devices import Device, masked

log = structlog.get_logger()


class Unregistered(Exception):
    """The provider knows the device no more: the app was removed, or its token was replaced.

    ``since`` is when, if the provider said so: whoever registered later may be alive again. Not ``certain`` if the
    settings can be to blame as well.
    """

    def __init__(self, reason: str, *, since: datetime | None = None, certain: bool = True) -> None:
        super().__init__(reason)
        self.since = since
        self.certain = certain


class Channel(Protocol):
    """Pushes to one device.

    Guarantees: returns once the provider took the notification over. Raises `Unregistered`, `Retry` (perhaps with the
    wait that the provider asked for) or `Fatal`. Repetitions carry the same id, so the device shows one.
    """

    async def push(self, device: Device, notification: Notification) -> None:
        """Hand ``notification`` over for ``device``."""
        ...


class LogChannel:
    """Logs what would be pushed, with the token masked."""

    async def push(self, device: Device, notification: Notification) -> None:
        """Log it."""
        log.info(
            "push.logged",
            device=masked(device.token),
            platform=device.platform,
            channel=device.channel,
            title=notification.title,
            text=notification.body,
            event_id=notification.id,
        )
