"""One event, several devices, several providers: each device is served once, and its failure is its own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from consumers.push.channels.channel import PushChannel
from consumers.push.channels.providers import open_channels
from consumers.push.channels.webpush import open_webpush
from consumers.push.consumer import AT_ONCE, Push
from consumers.push.notification import Notification
from consumers.push.registry import devices
from consumers.push.registry.devices import Device
from consumers.push.registry.tables import METADATA
from consumers.push.settings import PushSettings
from consumers.runtime.consumer import Context, Resources
from consumers.runtime.database import ConsumerDatabase
from consumers.runtime.errors import Retry
from schemas.devices import Channel
from schemas.events import CloudEvent
from tests.consumers.events import ACCOUNT, USER, event
from tests.consumers.push.channels import apns_server, push_service
from tests.consumers.push.channels.apns_server import ApnsServer
from tests.consumers.push.channels.fcm_server import FcmServer
from tests.consumers.push.channels.push_service import Directory, PushService
from tests.consumers.push.notifications import PHONE, device_of

ANDROID = Device(owner=USER, token="phone-registration-token-000001", platform="android")


class Consuming:
    """The push consumer with its database, without a queue."""

    def __init__(self, consumer: Push) -> None:
        self.database = consumer.resources.database
        self._consumer = consumer

    async def register(self, *found: Device) -> None:
        for device in found:
            await self.database.write(lambda db, device=device: devices.add(db, device))

    async def handle(self, published: CloudEvent) -> None:
        handler = self._consumer.find_handler(published)
        assert handler is not None
        await handler(published, Context(event_id=published.id, attempts=0, database=self.database))

    async def registered(self) -> set[str]:
        return {device.token for device in await self.database.read(devices.list_devices)}


@asynccontextmanager
async def consuming(
    url: str, channels: dict[Channel, PushChannel] | None = None, **options: Any
) -> AsyncIterator[Consuming]:
    async with ConsumerDatabase(url.replace("postgresql://", "postgresql+psycopg://")) as database:
        await database.create(METADATA, name="push", version=Push.schema_version)
        settings = PushSettings(**options)
        async with Push(Resources(settings=settings, database=database), channels) as consumer:
            yield Consuming(consumer)


@pytest.fixture
async def channels(
    tmp_path: Path, fcm: FcmServer, apns: ApnsServer, service: PushService
) -> AsyncIterator[dict[Channel, PushChannel]]:
    """All three, each with its provider."""
    options = {"fcm_credentials": fcm.key_file(tmp_path), "fcm_url": fcm.url, **apns.options(tmp_path)}
    options |= {"push_channel": "fcm, apns", **service.options(tmp_path)}
    settings = PushSettings(**options)
    async with open_channels(settings) as opened, open_webpush(settings, Directory(service.port)) as webpush:
        yield {**opened, "webpush": webpush}


async def test_devices_of_three_providers_hear_of_one_event(
    database_url: str,
    channels: dict[Channel, PushChannel],
    fcm: FcmServer,
    apns: ApnsServer,
    service: PushService,
) -> None:
    """One is dead, one is busy, one is served: the dead leaves, the busy alone is tried again, nobody hears twice."""
    browser = service.subscribe("one")
    apns.refusals[PHONE.token] = [apns_server.Refusal(status=503, headers={"retry-after": "45"})]
    service.refusals[browser.endpoint] = [push_service.Refusal(status=410)]
    published = event("resolve.validated")
    async with consuming(database_url, channels) as push:
        await push.register(ANDROID, PHONE, device_of(browser))
        with pytest.raises(Retry) as raised:
            await push.handle(published)
        first = (list(fcm.tokens_served), list(apns.tokens_served))
        left = await push.registered()
        await push.handle(published)
        await push.handle(published)

    assert raised.value.after == timedelta(seconds=45)
    assert first == ([ANDROID.token], [])
    assert left == {ANDROID.token, PHONE.token}
    assert (fcm.tokens_served, apns.tokens_served, service.tokens_served) == ([ANDROID.token], [PHONE.token], [])
    assert apns.taken[0].headers["apns-collapse-id"] == fcm.accepted[0]["android"]["collapse_key"] == published.id


async def test_removed_device_is_told_of_without_its_token(
    database_url: str, channels: dict[Channel, PushChannel], apns: ApnsServer
) -> None:
    """The log says which channel removed it and why."""
    stamp = int(datetime.now(UTC).timestamp() * 1000) + 1000
    apns.refusals[PHONE.token] = [apns_server.Refusal(status=410, reason="Unregistered", timestamp=stamp)]
    async with consuming(database_url, channels) as push:
        await push.register(PHONE)
        with capture_logs() as lines:
            await push.handle(event("resolve.validated"))
        left = await push.registered()

    (line,) = [line for line in lines if line["event"] == "device.removed"]
    assert (left, line["channel"], PHONE.token in str(lines)) == (set(), "apns", False)
    assert "Unregistered" in line["reason"]


async def test_device_that_registered_after_its_death_stays(
    database_url: str, channels: dict[Channel, PushChannel], apns: ApnsServer
) -> None:
    """An app that was installed again keeps its registration."""
    died = datetime.now(UTC) - timedelta(days=1)
    stamp = int(died.timestamp() * 1000)
    apns.refusals[PHONE.token] = [apns_server.Refusal(status=410, reason="Unregistered", timestamp=stamp)]
    async with consuming(database_url, channels) as push:
        await push.register(PHONE)
        await push.handle(event("resolve.validated"))
        left = await push.registered()

    assert left == {PHONE.token}


async def test_device_without_a_channel_names_the_setting(tmp_path: Path, fcm: FcmServer) -> None:
    """A user may register any: it is not forgotten, those of other channels are served, and no event is put aside."""
    options = {"push_channel": "fcm", "fcm_credentials": fcm.key_file(tmp_path), "fcm_url": fcm.url}
    async with consuming(f"sqlite:///{tmp_path}/push.db", **options) as push:
        await push.register(ANDROID, PHONE)
        with capture_logs() as lines:
            await push.handle(event("resolve.validated"))
        left = await push.registered()

    (told,) = [line["reason"] for line in lines if line["event"] == "push.misconfigured"]
    assert (fcm.tokens_served, len(left)) == ([ANDROID.token], 2)
    assert "CONSUMERS_PUSH_CHANNEL does not name apns" in told


class Crowd:
    """A channel that counts who is in it, and lets nobody out until it is full."""

    def __init__(self, size: int, mistake: Callable[[Device], Exception | None] = lambda _: None) -> None:
        self._size = size
        self._mistake = mistake
        self._full = asyncio.Event()
        self.inside = 0
        self.most = 0
        self.served: list[str] = []

    async def push(self, device: Device, notification: Notification) -> None:
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.inside >= self._size:
            self._full.set()
        await asyncio.wait_for(self._full.wait(), 10)
        self.inside -= 1
        mistake = self._mistake(device)
        if mistake is not None:
            raise mistake
        self.served.append(device.token)


def crowd_of(number: int) -> list[Device]:
    return [Device(owner=USER, token=f"registration-token-{each:06}", platform="android") for each in range(number)]


async def test_slow_devices_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """Many are pushed to at once, and no more than that."""
    crowd = Crowd(AT_ONCE)
    async with consuming(f"sqlite:///{tmp_path}/push.db", {"fcm": crowd}) as push:
        await push.register(*crowd_of(2 * AT_ONCE))
        await push.handle(event("resolve.validated"))

    assert (crowd.most, len(crowd.served)) == (AT_ONCE, 2 * AT_ONCE)


async def test_surprise_of_one_device_is_its_own(tmp_path: Path) -> None:
    """What a channel did not expect itself keeps nobody else from being served, and is tried again."""
    poisoned, *others = crowd_of(3)
    crowd = Crowd(1, lambda device: RuntimeError("surprise") if device == poisoned else None)
    async with consuming(f"sqlite:///{tmp_path}/push.db", {"fcm": crowd}) as push:
        await push.register(poisoned, *others)
        with pytest.raises(Retry, match="surprise"):
            await push.handle(event("resolve.validated"))

    assert sorted(crowd.served) == [device.token for device in others]


async def test_registry_keeps_what_each_channel_needs(database_url: str, service: PushService) -> None:
    """Channel, locale and keys come back as they were given, and are renewed together."""
    browser = device_of(service.subscribe("one"))
    renewed = Device(owner=USER, token=PHONE.token, platform="ios", locale="de", channel="fcm")
    async with consuming(database_url) as push:
        await push.register(browser, PHONE)
        before = await push.database.read(devices.list_devices)
        await push.register(renewed)
        after = await push.database.read(devices.list_devices)

    assert sorted(before, key=repr) == sorted([browser, PHONE], key=repr)
    assert sorted(after, key=repr) == sorted([browser, renewed], key=repr)


async def test_keys_leave_with_the_last_registration(database_url: str, service: PushService) -> None:
    """A device that nobody is told through leaves nothing behind, and not sooner."""
    browser = service.subscribe("one")
    left = []
    async with consuming(database_url) as push:
        await push.register(device_of(browser), device_of(browser, owner=ACCOUNT))
        for owner in (USER, ACCOUNT):
            await push.database.write(lambda db, owner=owner: devices.remove(db, browser.endpoint, owner=owner))
            left.append(await push.database.read(lambda db: db.scalar(text("select count(*) from routes"))))

    assert left == [1, 0]


async def test_device_from_before_there_were_channels_is_firebases(database_url: str) -> None:
    """A registry of an earlier version goes on as it was."""
    async with consuming(database_url) as push:
        await push.register(ANDROID)
        await push.database.write(lambda db: db.execute(text("delete from routes")))
        found = await push.database.read(devices.list_devices)

    assert found == [ANDROID]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"channel": "apns", "token": "xyz" * 20}, "hexadecimal"),
        ({"channel": "apns", "token": "ab/../cd" * 8}, "hexadecimal"),
        ({"channel": "webpush", "token": "https://10.0.0.1/x"}, "endpoint"),
        ({"channel": "webpush", "token": "https://web.push.apple.com/x"}, "keys"),
        ({"locale": "x" * 36}, "locale"),
    ],
)
async def test_device_that_cannot_be_pushed_to_is_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    """What a user sends is checked before it stands in the registry."""
    device = Device(**{"owner": USER, "token": "a" * 20, "platform": "web", **changes})
    async with consuming(f"sqlite:///{tmp_path}/push.db") as push:
        with pytest.raises(ValueError, match=told):
            await push.register(device)
        left = await push.registered()

    assert left == set()
