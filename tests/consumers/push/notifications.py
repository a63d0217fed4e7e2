"""Notifications and devices for channels."""

from consumers.push.notification import Notification, build_notification
from consumers.push.registry.devices import Device
from consumers.push.registry.subscription import parse
from consumers.push.settings import WEB_PUSH_SERVICES
from tests.consumers.events import USER, event
from tests.consumers.push.channels.push_service import Browser

PHONE = Device(owner=USER, token="ab" * 32, platform="ios", locale="ja", channel="apns")


def notification(name: str = "resolve.validated", locale: str | None = None) -> Notification:
    """What is told of an event."""
    found = build_notification(event(name), locale=locale)
    assert found is not None
    return found


def device_of(browser: Browser, owner: str = USER) -> Device:
    """The browser as it is registered."""
    subscription = parse(browser.subscription, WEB_PUSH_SERVICES)
    return Device(owner=owner, token=subscription.endpoint, platform="web", channel="webpush", keys=subscription.keys)
