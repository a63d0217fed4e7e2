"""``/v1/devices/{token}``: who may say what of which device, and what reaches the push consumer's queue."""

import asyncio
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from processor.broker.embedded import EmbeddedPublisher
from processor.core.payload.ids import user_reference
from processor.core.publishing.message import Message
from processor.core.sign_request.device import path_of
from processor.sandbox import wallet
from schemas.commands import DEVICE_COMMANDS, DeviceRegistered, DeviceRemoved
from schemas.devices import digest_of_token
from schemas.topology import PUSH_DEVICES
from tests.api.stand import KEYS, Answer, Stand, standing
from tests.consumers.push.channels.push_service import Browser
from tests.sandbox.world import SHOP

TOKEN = "dGhlLXBob25l:APA91b-canary_of-a-device-token"
APNS = "0123456789abcdef" * 4
ANDROID = {"channel": "fcm", "locale": "de-CH"}
SERVICE = {**KEYS, "pusher": KEYS["backend"] | {"sha256": KEYS["stranger"]["sha256"], "scopes": ["devices"]}}
SERVICE.pop("stranger")


class Queue:
    """The other end of the exchange for commands, within the process."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.going = asyncio.Event()
        self.going.set()

    async def deliver(self, message: Message) -> None:
        await self.going.wait()
        self.messages.append(message)

    @property
    def commands(self) -> list[Any]:
        return [DEVICE_COMMANDS[each.type].model_validate_json(each.body) for each in self.messages]


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    async with standing(tmp_path, service_keys=SERVICE) as stand:
        yield stand


@pytest.fixture
def queue(stand: Stand) -> Queue:
    queue = Queue()
    assert isinstance(stand.processor.commands, EmbeddedPublisher)
    stand.processor.commands.subscribe(PUSH_DEVICES, (PUSH_DEVICES,), queue.deliver)
    return queue


@pytest.fixture
async def user(stand: Stand) -> str:
    """The session of a user."""
    _, session = await stand.sign_in()
    return session


async def put(stand: Stand, bearer: str | None, token: str = TOKEN, body: Any = ANDROID, **headers: str) -> Answer:
    return await stand.call("PUT", f"/v1/devices/{quote(token, safe='')}", body, bearer=bearer, **headers)


def refusal(answer: Answer) -> tuple[int, str, list[tuple[str, str]]]:
    errors = [(each["field"], each["reason"]) for each in answer.json.get("errors", [])]
    return answer.status, answer.json["reason"], errors


async def test_user_registers_and_removes_a_phone(stand: Stand, queue: Queue, user: str) -> None:
    """Both become commands for the account and the user that the session proves, and are answered without a body."""
    answers = [await put(stand, user), await stand.call("DELETE", f"/v1/devices/{quote(TOKEN)}", bearer=user)]
    registered, removed = queue.commands

    assert [(each.status, each.json) for each in answers] == [(204, None)] * 2
    assert isinstance(registered, DeviceRegistered)
    assert isinstance(removed, DeviceRemoved)
    assert registered.data.model_dump(exclude={"application"}) == {
        "account": wallet.ALICE.address,
        "channel": "fcm",
        "token": TOKEN,
        "keys": None,
        "platform": "android",
        "locale": "de-CH",
        "user": user_reference(SHOP.key, stand.sandbox.tokens.renew(SHOP.key, wallet.ALICE.address).token),
    }
    assert (removed.data.account, removed.subject) == (wallet.ALICE.address, registered.subject)
    assert registered.time < removed.time
    assert registered.data.application == removed.data.application == SHOP.key
    assert TOKEN.encode() not in queue.messages[1].body
    assert [each.routing_key for each in queue.messages] == [PUSH_DEVICES] * 2


async def test_browser_is_named_by_the_hash_of_its_endpoint(stand: Stand, queue: Queue, user: str) -> None:
    """What `JSON.stringify` gives of a subscription is taken as it is."""
    browser = Browser("one", "web.push.apple.com")
    body = {"channel": "webpush", "subscription": json.loads(browser.subscription)}
    named = path_of(browser.endpoint)
    statuses = [(await put(stand, user, named, body)).status]
    statuses.append((await stand.call("DELETE", f"/v1/devices/{named}", bearer=user)).status)
    registered, removed = queue.commands

    assert statuses == [204, 204]
    assert (registered.data.token, registered.data.platform) == (browser.endpoint, "web")
    assert removed.subject == registered.subject
    assert refusal(await put(stand, user, "A" * 43, body)) == (
        400,
        "parameter_invalid",
        [("token", "not_the_endpoints_sha256")],
    )


async def test_apple_token_is_one_whatever_its_case(stand: Stand, queue: Queue, user: str) -> None:
    """Apps print its bytes with `%02X` as well as with `%02x`: what registers and what removes name one device."""
    answers = [await put(stand, user, APNS.upper(), {"channel": "apns"})]
    answers += [await stand.call("DELETE", f"/v1/devices/{named}", bearer=user) for named in (APNS, APNS.upper())]
    registered, *removed = queue.commands

    assert [answer.status for answer in answers] == [204] * 3
    assert {each.subject for each in removed} == {registered.subject}
    assert {each.data.device for each in removed} == {digest_of_token(registered.data.token)}


async def test_service_acts_for_an_account(stand: Stand, queue: Queue) -> None:
    """If its key has the scope, and for the applications that the key covers."""
    whose = f"?app=shop&account={wallet.BOB.address}"
    path = f"/v1/devices/{APNS}"
    bearer = "stranger's key"

    assert (await stand.call("PUT", path + whose, {"channel": "apns"}, bearer=bearer)).status == 204
    data = queue.commands[0].data
    assert (data.account, data.user, data.platform) == (wallet.BOB.address, None, "ios")
    assert refusal(await stand.call("DELETE", path + whose))[:2] == (403, "scope_missing")
    for wrong, refused in (
        ("", (403, "application_forbidden", [])),
        (f"?app=other&account={wallet.BOB.address}", (403, "application_forbidden", [])),
        ("?app=shop", (400, "parameter_invalid", [("account", "no_account")])),
        ("?app=shop&account=r0", (400, "parameter_invalid", [("account", "no_account")])),
    ):
        assert refusal(await stand.call("DELETE", path + wrong, bearer=bearer)) == refused
    assert len(queue.messages) == 1


async def test_user_acts_for_nobody_else(stand: Stand, queue: Queue, user: str) -> None:
    """Neither for another account nor in another application, nor without a token of their own."""
    path = f"/v1/devices/{APNS}"

    assert refusal(await stand.call("DELETE", f"{path}?account={wallet.BOB.address}", bearer=user))[:2] == (
        400,
        "parameter_invalid",
    )
    assert refusal(await stand.call("DELETE", f"{path}?app=other", bearer=user))[:2] == (403, "application_forbidden")
    assert refusal(await put(stand, None))[:2] == (401, "key_missing")
    assert refusal(await put(stand, "made-up"))[:2] == (401, "key_invalid")
    assert queue.messages == []


@pytest.mark.parametrize(
    ("token", "channel"),
    [
        ("x" * 2049, "fcm"),
        ("short", "fcm"),
        ("eight or more", "fcm"),
        ("line\r\nfeed-line", "fcm"),
        ("nul\0nul-nul-nul", "fcm"),
        ("slash/slash/slash", "fcm"),
        ("ünicode-ünicode", "fcm"),
        ("A" * 43, "fcm"),
        (APNS[:-1], "apns"),
        ("ab" * 15, "apns"),
        ("ab" * 101, "apns"),
        ("not-hexadecimal-not-hexadecimal!", "apns"),
    ],
)
async def test_token_that_is_none_is_refused(stand: Stand, queue: Queue, user: str, token: str, channel: str) -> None:
    """It reaches nobody, and no answer repeats it."""
    answer = await put(stand, user, token, {"channel": channel})

    assert answer.status in {400, 404}
    assert (token in str(answer.json), queue.messages) == (False, [])


def subscription(endpoint: str, p256dh: bytes | None = None, auth: bytes = b"a" * 16) -> dict[str, Any]:
    found = json.loads(Browser("one", "web.push.apple.com").subscription)
    found["endpoint"] = endpoint
    if p256dh is not None:
        found["keys"]["p256dh"] = urlsafe_b64encode(p256dh).decode()
    found["keys"]["auth"] = urlsafe_b64encode(auth).decode()
    return {"channel": "webpush", "subscription": found}


GOOD = "https://web.push.apple.com/wpush/v2/one"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (subscription("http://web.push.apple.com/x"), "subscription.endpoint"),
        (subscription("https://127.0.0.1/x"), "subscription.endpoint"),
        (subscription("https://[::1]/x"), "subscription.endpoint"),
        (subscription("https://localhost/x"), "subscription.endpoint"),
        (subscription("https://push.internal/x"), "subscription.endpoint"),
        (subscription("https://printer.local/x"), "subscription.endpoint"),
        (subscription("https://user:password@push.apple.com/x"), "subscription.endpoint"),
        (subscription("https://push.apple.com:8443/x"), "subscription.endpoint"),
        (subscription("https://push.apple.com/x#y"), "subscription.endpoint"),
        (subscription("https://push.apple.com/" + "x" * 2048), "subscription.endpoint"),
        (subscription("https://push.apple.com/\r\nx"), "subscription.endpoint"),
        (subscription(GOOD, b"\x04" + b"x" * 63), "subscription.keys.p256dh"),
        (subscription(GOOD, b"\x02" + b"x" * 64), "subscription.keys.p256dh"),
        (subscription(GOOD, b"\x04" + b"x" * 64), "subscription.keys.p256dh"),
        (subscription(GOOD, auth=b"a" * 15), "subscription.keys.auth"),
        ({"channel": "webpush"}, "body"),
        ({"channel": "fcm", "subscription": subscription(GOOD)["subscription"]}, "body"),
        ({"channel": "log"}, "channel"),
        ({}, "channel"),
        (ANDROID | {"owner": "me"}, "owner"),
        (ANDROID | {"platform": "toaster"}, "platform"),
        (ANDROID | {"locale": "de_CH"}, "locale"),
        (ANDROID | {"locale": "x" * 36}, "locale"),
        (ANDROID | {"locale": "de\n"}, "locale"),
        (b"not JSON", "body"),
        (b"[]", "body"),
        (b"", "body"),
    ],
)
async def test_body_that_makes_no_sense_is_refused(
    stand: Stand, queue: Queue, user: str, body: Any, field: str
) -> None:
    """The answer names the field, and nothing is asked of anybody."""
    named = path_of(GOOD) if b"webpush" in json.dumps(str(body)).encode() else TOKEN
    status, reason, errors = refusal(await put(stand, user, named, body))

    assert (status, reason, errors[0][0], queue.messages) == (400, "body_invalid", field, [])


async def test_bodies_are_bounded_and_plain(stand: Stand, queue: Queue, user: str) -> None:
    """Compressed or too long ones are refused unread."""
    assert refusal(await put(stand, user, Content_Encoding="gzip"))[:2] == (415, "content_encoding_not_supported")
    assert refusal(await put(stand, user, body=b"x" * 70_000))[:2] == (413, "body_too_large")
    assert queue.messages == []


async def test_broker_that_does_not_confirm_is_told(stand: Stand, user: str) -> None:
    """503 with the moment to come again, and never 204; no line shows the token."""
    with capture_logs() as lines:
        nobody = await put(stand, user)
        queue = Queue()
        assert isinstance(stand.processor.commands, EmbeddedPublisher)
        stand.processor.commands.subscribe(PUSH_DEVICES, (PUSH_DEVICES,), queue.deliver)
        queue.going.clear()
        silent = await put(stand, user)
        queue.going.set()
        answered = await put(stand, user)

    assert [refusal(each)[:2] for each in (nobody, silent)] == [(503, "broker_unavailable")] * 2
    assert (nobody.headers["Retry-After"], answered.status) == ("10", 204)
    assert [line["event"] for line in lines if line["event"].startswith("device.")] == [
        "device.request_failed",
        "device.request_failed",
        "device.requested",
    ]
    assert TOKEN not in str(lines)


async def test_calls_are_counted(tmp_path: Path) -> None:
    """As those of its siblings."""
    api = {"calls_per_minute": 3, "service_calls_per_minute": 3, "requests_per_minute": 100}
    async with standing(tmp_path, service_keys=SERVICE, api=api) as stand:
        path = f"/v1/devices/{APNS}?app=shop&account={wallet.BOB.address}"
        statuses = [(await stand.call("DELETE", path, bearer="stranger's key")).status for _ in range(4)]

    assert statuses == [503, 503, 503, 429]
