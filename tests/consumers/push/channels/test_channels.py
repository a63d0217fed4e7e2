"""What every channel promises, held against its provider's real protocol."""

import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from consumers.push.channels.apns import ApnsChannel, ProviderTokens
from consumers.push.channels.channel import PushChannel, Unregistered, parse_wait
from consumers.push.channels.fcm import open_fcm
from consumers.push.channels.providers import open_channels
from consumers.push.channels.signing_key import SigningKey
from consumers.push.channels.webpush import open_webpush
from consumers.push.registry.devices import Device
from consumers.push.settings import PushSettings
from consumers.runtime.errors import ConsumerError, Fatal, Retry
from tests.consumers.events import USER
from tests.consumers.push.channels import apns_server, fcm_server, push_service
from tests.consumers.push.channels.apns_server import ApnsServer
from tests.consumers.push.channels.fcm_server import FcmServer
from tests.consumers.push.channels.push_service import Directory, PushService
from tests.consumers.push.notifications import PHONE, device_of, notification

WAIT = {"Retry-After": "30"}
GARBAGE = '<html>\ud7ff not JSON ["'
ANSWERS: dict[str, dict[str, Any]] = {
    "fcm": {
        "dead": fcm_server.Refusal(status=404, api_status="NOT_FOUND", error_code="UNREGISTERED"),
        "busy": fcm_server.Refusal(status=503, api_status="UNAVAILABLE", headers=WAIT),
        "limited": fcm_server.Refusal(status=429, api_status="RESOURCE_EXHAUSTED", headers=WAIT),
        "misconfigured": fcm_server.Refusal(status=403, api_status="PERMISSION_DENIED"),
        "too large": fcm_server.Refusal(status=413, api_status="INVALID_ARGUMENT"),
        "silent": fcm_server.Refusal(status=200, api_status="OK", silent=True),
        "garbage error": fcm_server.Refusal(status=502, api_status="", text=GARBAGE),
        "garbage refusal": fcm_server.Refusal(status=400, api_status="", text=GARBAGE),
        "garbage redirect": fcm_server.Refusal(
            status=302, api_status="", text=GARBAGE, headers={"Location": "http://127.0.0.1:1/"}
        ),
    },
    "apns": {
        "dead": apns_server.Refusal(status=410, reason="Unregistered"),
        "busy": apns_server.Refusal(status=503, reason="ServiceUnavailable", headers={"retry-after": "30"}),
        "limited": apns_server.Refusal(status=429, reason="TooManyRequests", headers={"retry-after": "30"}),
        "misconfigured": apns_server.Refusal(status=403, reason="InvalidProviderToken"),
        "too large": apns_server.Refusal(status=413, reason="PayloadTooLarge"),
        "silent": apns_server.Refusal(status=200, silent=True),
        "garbage error": apns_server.Refusal(status=502, body=GARBAGE.encode()),
        "garbage refusal": apns_server.Refusal(status=400, body=GARBAGE.encode()),
        "garbage redirect": apns_server.Refusal(
            status=302, body=GARBAGE.encode(), headers={"location": "http://127.0.0.1:1/"}
        ),
    },
    "webpush": {
        "dead": push_service.Refusal(status=410),
        "busy": push_service.Refusal(status=503, headers=WAIT),
        "limited": push_service.Refusal(status=429, headers=WAIT),
        "misconfigured": push_service.Refusal(status=400),
        "too large": push_service.Refusal(status=413),
        "silent": push_service.Refusal(status=201, silent=True),
        "garbage error": push_service.Refusal(status=502, body=GARBAGE),
        "garbage refusal": push_service.Refusal(status=400, body=GARBAGE),
        "garbage redirect": push_service.Refusal(status=302, body=GARBAGE, headers={"Location": "http://127.0.0.1:1/"}),
    },
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provided:
    """A channel, a device that its provider knows, and the provider's next answers."""

    name: str
    channel: PushChannel
    device: Device
    answers: list[Any]
    served: Callable[[], list[str]]

    def will_answer(self, kind: str) -> None:
        self.answers.append(ANSWERS[self.name][kind])

    async def outcome(self) -> Exception | None:
        """What pushing ends with."""
        try:
            await self.channel.push(self.device, notification())
        except (Unregistered, Retry, Fatal) as raised:
            return raised
        return None


def settings(**options: Any) -> PushSettings:
    return PushSettings(**options)


@pytest.fixture(params=["fcm", "apns", "webpush"])
async def provided(
    request: pytest.FixtureRequest, tmp_path: Path, fcm: FcmServer, apns: ApnsServer, service: PushService
) -> AsyncIterator[Provided]:
    """Each channel with its provider; waits are short."""
    patience = {"push_timeout": "0.5s"}
    if request.param == "fcm":
        phone = Device(owner=USER, token="phone-registration-token-000001", platform="android")
        options = {"fcm_credentials": fcm.key_file(tmp_path), "fcm_url": fcm.url}
        async with open_fcm(settings(**options, **patience)) as channel:
            answers = fcm.refusals.setdefault(phone.token, [])
            yield Provided(name="fcm", channel=channel, device=phone, answers=answers, served=lambda: fcm.tokens_served)
    elif request.param == "apns":
        options = apns.options(tmp_path) | {"push_channel": "apns"}
        async with open_channels(settings(**options, **patience)) as channels:
            answers = apns.refusals.setdefault(PHONE.token, [])
            yield Provided(
                name="apns",
                channel=channels["apns"],
                device=PHONE,
                answers=answers,
                served=lambda: apns.tokens_served,
            )
    else:
        browser = service.subscribe("one")
        opening = open_webpush(settings(**service.options(tmp_path), **patience), Directory(service.port))
        async with opening as channel:
            answers = service.refusals.setdefault(browser.endpoint, [])
            yield Provided(
                name="webpush",
                channel=channel,
                device=device_of(browser),
                answers=answers,
                served=lambda: service.tokens_served,
            )


async def test_notification_is_handed_over(provided: Provided) -> None:
    """Pushing returns once the provider took it, and the same channel serves the next one."""
    outcomes = [await provided.outcome() for _ in range(2)]

    assert outcomes == [None, None]
    assert provided.served() == [provided.device.token] * 2


@pytest.mark.parametrize(
    ("kind", "error", "after"),
    [
        ("dead", Unregistered, None),
        ("busy", Retry, 30),
        ("limited", Retry, 30),
        ("misconfigured", Fatal, None),
        ("too large", Fatal, None),
        ("silent", Retry, None),
        ("garbage error", Retry, None),
        ("garbage refusal", Fatal, None),
        ("garbage redirect", Fatal, None),
    ],
)
async def test_answer_becomes_an_outcome(
    provided: Provided, kind: str, error: type[Exception], after: int | None
) -> None:
    """Each answer means one thing, tells nothing of the device, and does not spoil the channel."""
    provided.will_answer(kind)
    raised = await provided.outcome()
    then = await provided.outcome()

    assert (type(raised), then) == (error, None)
    assert getattr(raised, "after", None) == (None if after is None else timedelta(seconds=after))
    assert provided.device.token[-12:] not in str(raised)
    assert provided.served() == [provided.device.token]


ODD = (
    "5", "null", "[]", '"x"', "{", "", GARBAGE, "[" * 50_000, "9" * 5000, '{"error": 5}', '{"error": {"details": 5}}',
    '{"error": {"details": [5, {"fieldViolations": 5}]}}', '{"error": {"details": [{"fieldViolations": [5, null]}]}}',
    '{"error": {"status": [], "details": [{"errorCode": {}, "fieldViolations": {"field": "message.token"}}]}}',
    '{"reason": 5}', '{"reason": {"a": [1]}, "timestamp": "x"}', '{"reason": "Unregistered", "timestamp": 1e400}',
    '{"timestamp": true}', '{"timestamp": -99999999999999999999}', '{"timestamp": NaN}', '{"error": {"details": [[]]}}',
)  # fmt: skip
"""Bodies that a proxy, a mistake or a new version brings."""


async def test_body_of_any_kind_is_an_answer(provided: Provided) -> None:
    """What stands in it raises nothing: the status says what to do, whatever it is."""
    statuses = (400, 403, 404, 410, 429, 500)
    outcomes = []
    for status in statuses:
        for body in ODD:
            provided.answers.append(odd_answer(provided.name, status, body))
            outcomes.append(await provided.outcome())

    assert {type(outcome) for outcome in outcomes} <= {Unregistered, Retry, Fatal}
    assert await provided.outcome() is None


def odd_answer(name: str, status: int, body: str) -> Any:
    match name:
        case "fcm":
            return fcm_server.Refusal(status=status, api_status="", text=body)
        case "apns":
            return apns_server.Refusal(status=status, body=body.encode()[:16_000])
        case _:
            return push_service.Refusal(status=status, body=body)


@pytest.mark.parametrize(
    "wait",
    ["", "x", "-1", "9" * 999, "1e9", "Wed, 99 Foo 2026 25:61:61 GMT", "Mon, 1 Jan 0001 00:00:00 +2359", "\x00", "²"],
)
def test_wait_of_any_kind_is_one(wait: str) -> None:
    """A header that makes no sense is none, and a long one is a day."""
    found = parse_wait({"Retry-After": wait})

    assert found is None or timedelta(0) <= found <= timedelta(days=1)


async def test_endless_body_is_not_read_to_its_end() -> None:
    """As much as an answer can need, and no more."""
    sent = []

    async def endless() -> AsyncIterator[bytes]:
        while True:
            sent.append(1)
            yield b"x" * 10_000

    transport = httpx.MockTransport(lambda _: httpx.Response(400, content=endless()))
    key = SigningKey(ec.generate_private_key(ec.SECP256R1()))
    async with httpx.AsyncClient(transport=transport, base_url="https://localhost") as client:
        tokens = ProviderTokens(key, key_id="K", team_id="T")
        with pytest.raises(Fatal, match="400"):
            await ApnsChannel(client, tokens, topic="t", timeout=timedelta(seconds=5)).push(PHONE, notification())

    assert len(sent) < 10


@pytest.mark.parametrize(
    ("options", "setting"),
    [
        ({"push_channel": "fcm"}, "CONSUMERS_FCM_CREDENTIALS"),
        ({"push_channel": "apns"}, "CONSUMERS_APNS_KEY"),
        ({"push_channel": "apns", "apns_key": "nowhere.p8"}, "CONSUMERS_APNS_KEY_ID"),
        (
            {
                "push_channel": "fcm,apns",
                "apns_key": "nowhere.p8",
                "apns_key_id": "ABC123DEFG",
                "apns_team_id": "DEF123GHIJ",
                "apns_topic": "com.example",
                "fcm_credentials": None,
            },
            "CONSUMERS_FCM_CREDENTIALS",
        ),
        ({"push_channel": "webpush"}, "CONSUMERS_WEBPUSH_KEY"),
        ({"push_channel": "webpush", "webpush_key": "nowhere.pem"}, "CONSUMERS_WEBPUSH_CONTACT"),
        (
            {"push_channel": "webpush", "webpush_key": "nowhere.pem", "webpush_contact": "mailto:a@b.example"},
            "CONSUMERS_WEBPUSH_KEY",
        ),
    ],
)
async def test_missing_setting_is_named(options: dict[str, Any], setting: str) -> None:
    """A channel without what its provider asks for never opens."""
    with pytest.raises(ConsumerError, match=f"^{setting}:"):
        async with open_channels(settings(**options)):
            pass


async def test_missing_library_is_told_as_its_extra(
    apns: ApnsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small install that is asked for too much says what to add."""
    monkeypatch.setitem(sys.modules, "h2", None)
    with pytest.raises(ConsumerError, match=r"CONSUMERS_PUSH_CHANNEL: .*\[apns\]"):
        async with open_channels(settings(push_channel="apns", **apns.options(tmp_path))):
            pass


async def test_two_channels_are_open_at_once(tmp_path: Path, apns: ApnsServer, fcm: FcmServer) -> None:
    """Names stand with commas, in any order."""
    both = {"fcm_credentials": fcm.key_file(tmp_path), "fcm_url": fcm.url, **apns.options(tmp_path)}
    async with open_channels(settings(push_channel=" fcm , apns", **both)) as channels:
        await channels["apns"].push(PHONE, notification())

    assert (list(channels), apns.tokens_served) == (["fcm", "apns"], [PHONE.token])


@pytest.mark.parametrize("names", ["log", "log,webpush", "webpush"])
async def test_log_stands_in_for_channels_that_are_not_on(names: str, tmp_path: Path, service: PushService) -> None:
    """With ``log`` every device has a channel, without it only those that are named."""
    async with open_channels(settings(push_channel=names, **service.options(tmp_path))) as channels:
        kinds = {name: type(channel).__name__ for name, channel in channels.items()}

    logged = {"fcm": "LogChannel", "apns": "LogChannel", "webpush": "LogChannel"} if "log" in names else {}
    assert kinds == logged | ({"webpush": "WebPushChannel"} if "webpush" in names else {})
