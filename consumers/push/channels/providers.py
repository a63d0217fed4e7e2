"""Opens the channels that the settings name, and the channel that only logs."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Final

import structlog

from consumers.push.channels.channel import PushChannel
from consumers.push.channels.fcm import open_fcm
from consumers.push.notification import Notification
from consumers.push.registry.devices import Device, mask_token
from consumers.push.settings import PushSettings
from consumers.runtime.errors import ConsumerError
from schemas.devices import Channel

PushChannels = Mapping[Channel, PushChannel]
Opened = AbstractAsyncContextManager[PushChannel]


log = structlog.get_logger()


class LogChannel:
    """Logs each notification, with the token masked, instead of pushing it."""

    async def push(self, device: Device, notification: Notification) -> None:
        """Log it."""
        log.info(
            "push.logged",
            device=mask_token(device.token),
            platform=device.platform,
            channel=device.channel,
            title=notification.title,
            text=notification.body,
            event_id=notification.id,
        )


def _apns(settings: PushSettings) -> Opened:
    from consumers.push.channels.apns import open_apns

    return open_apns(settings)


def _webpush(settings: PushSettings) -> Opened:
    from consumers.push.channels.webpush import open_webpush

    return open_webpush(settings)


OPENERS: Final[Mapping[Channel, Callable[[PushSettings], Opened]]] = {
    "fcm": open_fcm,
    "apns": _apns,
    "webpush": _webpush,
}


@asynccontextmanager
async def open_channels(settings: PushSettings) -> AsyncIterator[PushChannels]:
    """The channels that ``settings`` name; with ``log`` among them, the others log.

    Raises `ConsumerError`; for a missing library, it names the extra that installs it.
    """
    names = settings.push_channels
    async with AsyncExitStack() as stack:
        logged: PushChannels = dict.fromkeys(OPENERS, LogChannel()) if "log" in names else {}
        opened: dict[Channel, PushChannel] = dict(logged)
        for name, opener in OPENERS.items():
            if name in names:
                try:
                    opened[name] = await stack.enter_async_context(opener(settings))
                except ImportError as error:
                    needs = f"{name} needs the extra {name}: install xumm-webhook-processor[{name}]"
                    raise ConsumerError(f"CONSUMERS_PUSH_CHANNEL: {needs}") from error
        yield opened
