"""The push consumer: who hears of what, once, through FCM's real protocol or the log."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from consumers.push.channels.fcm import open_fcm
from consumers.push.consumer import Push
from consumers.push.notification import QUIET
from consumers.push.registry import devices, pushes
from consumers.push.registry.devices import Device
from consumers.push.settings import PushSettings
from consumers.runtime.composition import open_consumer
from consumers.runtime.consumer import Context
from consumers.runtime.discovery import find
from consumers.runtime.errors import ConsumerError, Fatal, Retry
from schemas.events import CloudEvent
from tests.consumers.events import ACCOUNT, USER, event
from tests.consumers.push.channels.fcm_server import FcmServer, Refusal

PHONE = Device(owner=USER, token="phone-registration-token-000001", platform="android", locale="de-CH")
TABLET = Device(owner=ACCOUNT, token="tablet-registration-token-000002", platform="ios")
UNAVAILABLE = Refusal(status=503, api_status="UNAVAILABLE", error_code="UNAVAILABLE", headers={"Retry-After": "30"})


class Pusher:
    """The push consumer with two devices registered, without a queue."""

    def __init__(self, consumer: Push) -> None:
        self.database = consumer.resources.database
        self._consumer = consumer

    async def handle(self, published: CloudEvent) -> None:
        handler = self._consumer.find_handler(published)
        assert handler is not None
        await handler(published, Context(event_id=published.id, attempts=0, database=self.database))

    async def registered(self) -> list[str]:
        return [device.token for device in await self.database.read(devices.list_devices)]


@asynccontextmanager
async def pusher(tmp_path: Path, fcm: FcmServer | None = None, **options: Any) -> AsyncIterator[Pusher]:
    options |= {"database_url": f"sqlite:///{tmp_path}/push.db"}
    if fcm is not None:
        options |= {"push_channel": "fcm", "fcm_credentials": fcm.key_file(tmp_path), "fcm_url": fcm.url}
    async with open_consumer(find("push"), PushSettings(**options)) as (consumer, _):
        assert isinstance(consumer, Push)
        for device in (PHONE, TABLET):
            await consumer.resources.database.write(lambda db, device=device: devices.add(db, device))
        yield Pusher(consumer)


async def test_fcm_gets_one_message_for_each_device_of_user_and_account(tmp_path: Path, fcm: FcmServer) -> None:
    """google-auth's own flow gets a token; each message carries the event's id wherever repetitions collapse."""
    validated = event("resolve.validated")
    async with pusher(tmp_path, fcm) as push:
        await push.handle(validated)
    phone, tablet = sorted(fcm.accepted, key=lambda message: message["token"])

    assert (phone["token"], tablet["token"]) == (PHONE.token, TABLET.token)
    assert phone["notification"]["title"] == "Transaktion bestätigt"
    assert tablet["notification"]["title"] == "Transaction confirmed"
    assert phone["android"] == {
        "collapse_key": validated.id,
        "priority": "HIGH",
        "ttl": "259200s",
        "notification": {"tag": validated.id},
    }
    assert tablet["apns"]["headers"]["apns-collapse-id"] == validated.id
    assert tablet["webpush"]["notification"] == {"tag": validated.id}
    assert phone["data"]["payload"] == validated.subject
    assert all(isinstance(value, str) for value in phone["data"].values())
    assert fcm.issued == ["ya29.0"]


async def test_device_registered_by_user_alone_hears_of_sign_events(tmp_path: Path, fcm: FcmServer) -> None:
    """A sign event names no account, so the device that is registered by account stays quiet."""
    async with pusher(tmp_path, fcm) as push:
        await push.handle(event("sign.opened"))

    assert fcm.tokens_served == [PHONE.token]


async def test_device_registered_twice_is_pushed_to_once(tmp_path: Path, fcm: FcmServer) -> None:
    """By user and by account it is still one device."""
    async with pusher(tmp_path, fcm) as push:
        both = Device(owner=ACCOUNT, token=PHONE.token, platform="android")
        await push.database.write(lambda db: devices.add(db, both))
        await push.handle(event("resolve.validated"))

    assert sorted(fcm.tokens_served) == [PHONE.token, TABLET.token]


async def test_retry_after_a_partial_failure_serves_only_the_others(tmp_path: Path, fcm: FcmServer) -> None:
    """One device's failure does not keep the others waiting, and they are not pushed to again."""
    fcm.refusals[PHONE.token] = [UNAVAILABLE]
    async with pusher(tmp_path, fcm) as push:
        with pytest.raises(Retry) as raised:
            await push.handle(event("resolve.validated"))
        served_first = list(fcm.tokens_served)
        await push.handle(event("resolve.validated"))

    assert served_first == [TABLET.token]
    assert fcm.tokens_served == [TABLET.token, PHONE.token]
    assert raised.value.after == timedelta(seconds=30)


@pytest.mark.parametrize(
    "refusal",
    [
        Refusal(status=404, api_status="NOT_FOUND", error_code="UNREGISTERED"),
        Refusal(status=404, api_status="NOT_FOUND", error_code="UNREGISTERED", in_pieces=True),
        Refusal(status=400, api_status="INVALID_ARGUMENT", bad_field="message.token"),
        Refusal(status=400, api_status="INVALID_ARGUMENT", error_code="INVALID_ARGUMENT", bad_field="message.token"),
    ],
    ids=["unregistered", "in pieces", "invalid token", "invalid token and code"],
)
async def test_device_that_the_provider_does_not_know_is_removed(
    tmp_path: Path, fcm: FcmServer, refusal: Refusal
) -> None:
    """It leaves the registry, and the event is handled."""
    fcm.refusals[PHONE.token] = [refusal]
    async with pusher(tmp_path, fcm) as push:
        await push.handle(event("resolve.validated"))
        left = await push.registered()

    assert (left, fcm.tokens_served) == ([TABLET.token], [TABLET.token])


@pytest.mark.parametrize(
    ("refusal", "error", "after"),
    [
        (Refusal(status=429, api_status="RESOURCE_EXHAUSTED", error_code="QUOTA_EXCEEDED"), Retry, 60),
        (UNAVAILABLE, Retry, 30),
        (Refusal(status=500, api_status="INTERNAL", error_code="INTERNAL"), Retry, None),
        (Refusal(status=400, api_status="INVALID_ARGUMENT", bad_field="message.data"), Fatal, None),
        (Refusal(status=401, api_status="UNAUTHENTICATED", error_code="THIRD_PARTY_AUTH_ERROR"), Fatal, None),
        (Refusal(status=403, api_status="PERMISSION_DENIED"), Fatal, None),
        (Refusal(status=404, api_status="NOT_FOUND"), Fatal, None),
    ],
    ids=["quota", "unavailable", "internal", "field", "apns key", "no permission", "wrong project"],
)
async def test_refusal_means_what_the_provider_documents(
    tmp_path: Path, fcm: FcmServer, refusal: Refusal, error: type[Exception], after: int | None
) -> None:
    """What can pass is retried, no sooner than asked; what cannot is fatal; and no device is removed for it."""
    fcm.refusals[PHONE.token] = [refusal]
    async with pusher(tmp_path, fcm) as push:
        with pytest.raises((Retry, Fatal)) as raised:
            await push.handle(event("sign.opened"))
        left = await push.registered()

    wait = getattr(raised.value, "after", None)
    assert (type(raised.value), wait) == (error, None if after is None else timedelta(seconds=after))
    assert PHONE.token in left
    assert PHONE.token not in str(raised.value)


async def test_retry_after_may_be_a_date(tmp_path: Path, fcm: FcmServer) -> None:
    """Retry-After comes in seconds or as an HTTP date."""
    at = format_datetime(datetime.now(UTC) + timedelta(minutes=5), usegmt=True)
    fcm.refusals[PHONE.token] = [Refusal(status=503, api_status="UNAVAILABLE", headers={"Retry-After": at})]
    async with pusher(tmp_path, fcm) as push:
        with pytest.raises(Retry) as raised:
            await push.handle(event("sign.opened"))

    assert raised.value.after is not None
    assert timedelta(minutes=4) < raised.value.after <= timedelta(minutes=5)


async def test_refused_access_token_is_renewed_at_once(tmp_path: Path, fcm: FcmServer) -> None:
    """A token revoked before its time costs no retry of the message."""
    async with pusher(tmp_path, fcm) as push:
        await push.handle(event("sign.opened", 1))
        fcm.revoked.add(fcm.issued[0])
        await push.handle(event("sign.opened", 2))

    assert (len(fcm.accepted), fcm.issued) == (2, ["ya29.0", "ya29.1"])


async def test_expiring_access_token_is_renewed_before_it_expires(tmp_path: Path, fcm: FcmServer) -> None:
    """Within minutes of its end a token is replaced."""
    fcm.token_lifetime = 60
    async with pusher(tmp_path, fcm) as push:
        await push.handle(event("sign.opened", 1))
        await push.handle(event("sign.opened", 2))

    assert fcm.issued == ["ya29.0", "ya29.1"]


async def test_refused_service_account_is_fatal(tmp_path: Path, fcm: FcmServer) -> None:
    """A key that Google does not accept will not be accepted in ten seconds either."""
    fcm.token_failures = [400]
    async with pusher(tmp_path, fcm) as push:
        with pytest.raises(Fatal, match="service account"):
            await push.handle(event("sign.opened"))


async def test_unreachable_provider_is_retried(tmp_path: Path, fcm: FcmServer) -> None:
    """A refused connection says nothing about the message."""
    async with pusher(tmp_path, fcm) as push:
        await push.handle(event("sign.opened", 1))
        push._consumer._channels["fcm"]._endpoint = "http://127.0.0.1:1/"  # type: ignore[attr-defined]
        with pytest.raises(Retry, match="cannot be reached"):
            await push.handle(event("sign.opened", 2))


async def test_log_channel_says_what_it_would_push_and_masks_the_token(tmp_path: Path) -> None:
    """Without a provider everything else works, and no token gets into a log."""
    async with pusher(tmp_path) as push:
        with capture_logs() as lines:
            await push.handle(event("resolve.validated"))

    pushed = [line for line in lines if line["event"] == "push.logged"]
    assert [line["device"] for line in pushed] == ["…000001", "…000002"]
    assert "registration" not in json.dumps(lines)


async def test_quiet_event_disturbs_nobody(tmp_path: Path) -> None:
    """Steps that the user takes or has read about already are not pushed."""
    async with pusher(tmp_path) as push:
        with capture_logs() as lines:
            for event_type in QUIET:
                await push.handle(event(event_type.removeprefix("xumm.")))

    assert [line for line in lines if line["event"].startswith("push.")] == []


async def test_old_notes_of_pushes_are_forgotten(tmp_path: Path) -> None:
    """Who was served is remembered as long as the inbox remembers, and no longer."""
    async with pusher(tmp_path) as push:
        await push.handle(event("sign.opened"))
        kept = await push.database.write(lambda db: pushes.forget_served(db, timedelta(minutes=1)))
        forgotten = await push.database.write(lambda db: pushes.forget_served(db, timedelta(seconds=-2)))

    assert (kept, forgotten) == (0, 1)


@pytest.mark.parametrize("token", ["", "a b", "a\nb", "x" * 4097])
async def test_impossible_token_is_refused(tmp_path: Path, token: str) -> None:
    """What can be no registration token never reaches the registry."""
    async with pusher(tmp_path) as push:
        with pytest.raises(ValueError, match="printable"):
            await push.database.write(lambda db: devices.add(db, Device(owner=USER, token=token, platform="web")))


def test_device_does_not_show_its_token() -> None:
    """Neither a log nor an exception may leak it by accident."""
    assert PHONE.token not in repr(PHONE)


@pytest.mark.parametrize("content", [None, "{", "[]", '{"type":"service_account"}'], ids=str)
async def test_unusable_key_file_is_named(tmp_path: Path, content: str | None) -> None:
    """The message names the setting to mend."""
    path = tmp_path / "key.json"
    if content is not None:
        path.write_text(content)
    settings = PushSettings(push_channel="fcm", fcm_credentials=path, fcm_project="p")
    with pytest.raises(ConsumerError, match="CONSUMERS_FCM_CREDENTIALS"):
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(open_fcm(settings))
