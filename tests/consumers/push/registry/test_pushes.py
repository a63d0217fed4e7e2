"""What a provider says of all tokens at once empties no registry."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import update
from structlog.testing import capture_logs

from consumers.push.channels.channel import PushChannel, Unregistered
from consumers.push.channels.webpush import open_webpush
from consumers.push.notification import Notification
from consumers.push.registry import pushes
from consumers.push.registry.devices import Device
from consumers.push.registry.tables import doubts as doubts_table
from consumers.push.settings import PushSettings
from tests.consumers.events import USER, event
from tests.consumers.push.channels import apns_server, fcm_server, push_service
from tests.consumers.push.channels.apns_server import ApnsServer
from tests.consumers.push.channels.fcm_server import FcmServer
from tests.consumers.push.channels.push_service import Directory, PushService
from tests.consumers.push.notifications import PHONE, device_of
from tests.consumers.push.test_delivery import Consuming, consuming

HEALTHY = Device(owner=USER, token="cd" * 32, platform="ios", channel="apns")


class Provider:
    """Takes what is not in ``refused``."""

    def __init__(self, *refused: str) -> None:
        self.refused = set(refused)
        self.asked = 0

    async def push(self, device: Device, notification: Notification) -> None:
        """One push."""
        self.asked += 1
        if device.token in self.refused:
            raise Unregistered("APNs answered 400 BadDeviceToken", certain=False)


def channels(provider: Provider) -> dict[str, PushChannel]:
    return {"apns": provider}


async def age(push: Consuming) -> None:
    """As if the doubts had begun a day ago."""
    earlier = doubts_table.c.since - int(pushes.SPAN / timedelta(seconds=1))
    await push.database.write(lambda db: db.execute(update(doubts_table).values(since=earlier)))


async def hear_of(push: Consuming, *payloads: int) -> list[str]:
    """Names of the lines that are logged for events of these payloads."""
    with capture_logs() as lines:
        for payload in payloads:
            await push.handle(event("resolve.validated", payload))
    return [line["event"] for line in lines]


async def test_wrong_settings_remove_nothing_however_long_they_last(database_url: str) -> None:
    """A provider that takes no token at all is not believed, and the operator is told each time."""
    async with consuming(database_url, channels(Provider(PHONE.token, HEALTHY.token))) as push:  # type: ignore[arg-type]
        await push.register(PHONE, HEALTHY)
        names = await hear_of(push, 1, 2)
        await age(push)
        names += await hear_of(push, 3, 4, 5)
        left = await push.registered()

    assert (left, set(names), len(names)) == ({PHONE.token, HEALTHY.token}, {"push.misconfigured"}, 10)


async def test_token_that_is_refused_for_a_day_goes(database_url: str) -> None:
    """While the provider takes those of others: after three events, and not within the day."""
    async with consuming(database_url, channels(Provider(PHONE.token))) as push:  # type: ignore[arg-type]
        await push.register(HEALTHY)
        await hear_of(push, 1)
        await push.register(PHONE)
        early = await hear_of(push, 2, 3, 4, 5)
        await age(push)
        late = await hear_of(push, 6)
        left = await push.registered()

    assert (early, late, left) == (["device.token_rejected"] * 4, ["device.removed"], {HEALTHY.token})


async def test_two_events_do_not_suffice(database_url: str) -> None:
    """However far apart they are."""
    async with consuming(database_url, channels(Provider(PHONE.token))) as push:  # type: ignore[arg-type]
        await push.register(HEALTHY)
        await hear_of(push, 1)
        await push.register(PHONE)
        await hear_of(push, 2)
        await age(push)
        names = await hear_of(push, 3)

    assert names == ["device.token_rejected"]


async def test_retried_event_counts_once(database_url: str) -> None:
    """The device is not asked for again."""
    provider = Provider(PHONE.token)
    async with consuming(database_url, channels(provider)) as push:  # type: ignore[arg-type]
        await push.register(PHONE)
        names = await hear_of(push, 1, 1, 1)

    assert (names, provider.asked) == (["push.misconfigured"], 1)


async def test_push_that_is_taken_ends_the_doubts(database_url: str) -> None:
    """They begin anew with the next refusal."""
    provider = Provider(PHONE.token)
    async with consuming(database_url, channels(provider)) as push:  # type: ignore[arg-type]
        await push.register(PHONE)
        await hear_of(push, 1, 2)
        provider.refused.clear()
        await hear_of(push, 3)
        provider.refused.add(PHONE.token)
        await age(push)
        names = await hear_of(push, 4)

    assert names == ["device.token_rejected"]


@pytest.mark.parametrize("reason", ["BadDeviceToken", "DeviceTokenNotForTopic"])
async def test_apns_itself_is_not_believed_at_once(tmp_path: Path, apns: ApnsServer, reason: str) -> None:
    """Both are what a wrong address or topic brings; only 410 with its moment removes."""
    apns.refusals[PHONE.token] = [apns_server.Refusal(status=400, reason=reason)]
    options = {"push_channel": "apns", **apns.options(tmp_path)}
    async with consuming(f"sqlite:///{tmp_path}/push.db", **options) as push:
        await push.register(PHONE)
        names = await hear_of(push, 1)
        left = await push.registered()

    assert ("push.misconfigured" in names, "device.removed" in names, left) == (True, False, {PHONE.token})


@pytest.mark.parametrize(
    "refusal",
    [
        fcm_server.Refusal(status=400, api_status="INVALID_ARGUMENT", error_code="INVALID_ARGUMENT"),
        fcm_server.Refusal(status=403, api_status="PERMISSION_DENIED", error_code="SENDER_ID_MISMATCH"),
    ],
    ids=["argument", "sender"],
)
async def test_fcm_blames_a_device_and_no_message(tmp_path: Path, fcm: FcmServer, refusal: fcm_server.Refusal) -> None:
    """What it says of one token is doubted: each event is handled, and after a day the token goes."""
    healthy, dead = (Device(owner=USER, token=f"registration-token-{name}", platform="android") for name in "ab")
    fcm.refusals[dead.token] = [refusal] * 9
    options = {"push_channel": "fcm", "fcm_credentials": fcm.key_file(tmp_path), "fcm_url": fcm.url}
    async with consuming(f"sqlite:///{tmp_path}/push.db", **options) as push:
        await push.register(healthy)
        await hear_of(push, 1)
        await push.register(dead)
        early = await hear_of(push, 2, 3, 4)
        await age(push)
        late = await hear_of(push, 5)
        left = await push.registered()

    assert (early, late, left) == (["device.token_rejected"] * 3, ["device.removed"], {healthy.token})
    assert fcm.tokens_served == [healthy.token] * 5


@pytest.mark.parametrize(
    ("status", "body"),
    [(401, ""), (403, ""), (403, '{"reason":"BadJwtToken"}'), (400, '{"reason":"VapidPkHashMismatch"}')],
)
async def test_push_service_blames_a_subscription_and_no_message(
    tmp_path: Path, service: PushService, status: int, body: str
) -> None:
    """A browser that subscribed to an earlier key costs the others nothing."""
    healthy, stale = (service.subscribe(name) for name in ("one", "two"))
    service.refusals[stale.endpoint] = [push_service.Refusal(status=status, body=body)] * 9
    settings = PushSettings(**service.options(tmp_path))
    async with (
        open_webpush(settings, Directory(service.port)) as webpush,
        consuming(f"sqlite:///{tmp_path}/push.db", {"webpush": webpush}) as push,
    ):
        await push.register(device_of(healthy))
        await hear_of(push, 1)
        await push.register(device_of(stale))
        names = await hear_of(push, 2, 3)

    assert names == ["device.token_rejected"] * 2
    assert service.tokens_served == [healthy.endpoint] * 3
