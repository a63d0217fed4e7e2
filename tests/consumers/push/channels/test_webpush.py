"""Web Push: who is spoken to, what the browser reads, and what the push service cannot."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from consumers.push.channels.channel import Unregistered
from consumers.push.channels.encryption import MAX_PLAINTEXT, encrypt
from consumers.push.channels.resolver import PublicResolver, is_public
from consumers.push.channels.signing_key import SigningKey
from consumers.push.channels.webpush import AUDIENCES, Vapid, WebPushChannel, build_topic, open_webpush
from consumers.push.registry.devices import Device
from consumers.push.registry.subscription import parse, parse_endpoint
from consumers.push.settings import WEB_PUSH_SERVICES, PushSettings
from consumers.runtime.errors import Retry
from schemas.base64url import decode, encode
from tests.consumers.events import USER
from tests.consumers.push.channels.authority import key_file
from tests.consumers.push.channels.push_service import CONTACT, HOST, Browser, Directory, PushService, Refusal
from tests.consumers.push.channels.web_token import verified
from tests.consumers.push.notifications import device_of, notification

COMPRESSED = encode(
    ec.generate_private_key(ec.SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
)
"""A key that names the right point in a form that browsers do not use."""


@asynccontextmanager
async def channel(service: PushService, directory: Path, **options: Any) -> AsyncIterator[WebPushChannel]:
    settings = PushSettings(**{**service.options(directory), **options})
    async with open_webpush(settings, Directory(service.port)) as found:
        yield found


async def test_browser_reads_what_was_told(service: PushService, tmp_path: Path) -> None:
    """The message arrives decrypted with the subscription's own key; headers say how long and how urgent."""
    browser = service.subscribe("one")
    told = notification("sign.rejected", "de")
    async with channel(service, tmp_path) as push:
        await push.push(device_of(browser), told)
    (taken,) = service.taken

    data = dict(told.data)
    assert taken.message == {"title": "Anfrage abgelehnt", "body": told.body, "tag": told.id, "data": data}
    assert {name: taken.headers[name] for name in ("TTL", "Urgency", "Topic", "Content-Encoding")} == {
        "TTL": "3600",
        "Urgency": "normal",
        "Topic": build_topic(told.id),
        "Content-Encoding": "aes128gcm",
    }


async def test_only_the_browser_can_read(service: PushService) -> None:
    """Another browser's keys open nothing, and nothing changed on the way is read."""
    one, other = Browser("one"), Browser("other")
    keys = device_of(one).keys
    assert keys is not None
    body = encrypt(b'{"a":1}', p256dh=decode(keys.p256dh), auth=decode(keys.auth))

    assert one.read(body) == {"a": 1}
    for reader, changed in ((other, body), (one, body[:-1] + bytes([body[-1] ^ 1]))):
        with pytest.raises(InvalidTag):
            reader.read(changed)


def test_encryption_is_that_of_the_standard() -> None:
    """The example of RFC 8291, appendix A, comes out byte for byte."""
    sender = ec.derive_private_key(
        int.from_bytes(decode("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw")), ec.SECP256R1()
    )
    body = encrypt(
        b"When I grow up, I want to be a watermelon",
        p256dh=decode("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
        auth=decode("BTBZMqHH6r4Tts7J_aSIgg"),
        sender=sender,
        salt=decode("DGv6ra1nlYgDCS1FRnbzlw"),
    )

    assert encode(body) == (
        "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz"
        "AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
    )


def test_message_fits_what_every_service_carries() -> None:
    """The longest message makes 4096 bytes, and a longer one is refused here."""
    keys = device_of(Browser("one")).keys
    assert keys is not None
    given_keys = {"p256dh": decode(keys.p256dh), "auth": decode(keys.auth)}

    assert len(encrypt(bytes(MAX_PLAINTEXT), **given_keys)) == 4096
    with pytest.raises(ValueError, match=str(MAX_PLAINTEXT)):
        encrypt(bytes(MAX_PLAINTEXT + 1), **given_keys)


async def test_each_service_hears_who_sends(service: PushService, tmp_path: Path) -> None:
    """A token is made for one service and kept for it."""
    browsers = [service.subscribe("one"), service.subscribe("two"), service.subscribe("three", "web.push.apple.com")]
    async with channel(service, tmp_path) as push:
        for browser in browsers:
            await push.push(device_of(browser), notification())
    one, two, three = service.authorizations

    assert (len(service.taken), one == two, one == three) == (3, True, False)


def test_vapid_token_lives_within_the_standard() -> None:
    """Twelve hours of the twenty-four that are allowed, and half of them are left whenever it is used."""
    private = ec.generate_private_key(ec.SECP256R1())
    at = [time.time()]
    vapid = Vapid(SigningKey(private), contact=CONTACT, now=lambda: at[0])
    first = vapid.authorization("https://a.example")
    at[0] += timedelta(hours=6).total_seconds() - 1
    kept = vapid.authorization("https://a.example")
    at[0] += 2
    second = vapid.authorization("https://a.example")
    token = second.removeprefix("vapid t=").partition(",")[0]

    assert (kept == first, second == first) == (True, False)
    found = verified(token, private.public_key())
    assert found is not None
    assert found[1] == {"aud": "https://a.example", "exp": int(at[0] + 43_200), "sub": CONTACT}


def test_tokens_of_few_services_are_kept() -> None:
    """Whoever may choose subdomains cannot fill the memory."""
    vapid = Vapid(SigningKey(ec.generate_private_key(ec.SECP256R1())), contact=CONTACT)
    for number in range(AUDIENCES + 10):
        vapid.authorization(f"https://{number}.push.apple.com")

    assert len(vapid._tokens) == AUDIENCES


@pytest.mark.parametrize("status", [404, 410])
async def test_subscription_that_ended_is_told(service: PushService, tmp_path: Path, status: int) -> None:
    """Both answers that the standard has for it count."""
    browser = service.subscribe("one")
    service.refusals[browser.endpoint] = [Refusal(status=status)]
    async with channel(service, tmp_path) as push:
        with pytest.raises(Unregistered):
            await push.push(device_of(browser), notification())


async def test_other_key_is_doubted(service: PushService, tmp_path: Path) -> None:
    """Browsers subscribed to a key; with another the service lets nobody push, and the setting is named."""
    browser = service.subscribe("one")
    other = key_file(tmp_path / "other.pem", ec.generate_private_key(ec.SECP256R1()))
    async with channel(service, tmp_path, webpush_key=other) as push:
        with pytest.raises(Unregistered, match="CONSUMERS_WEBPUSH_KEY") as raised:
            await push.push(device_of(browser), notification())

    assert not raised.value.certain


async def test_throttled_service_is_waited_for(service: PushService, tmp_path: Path) -> None:
    """Windows says so with 406, which others have no use for, and how long with Retry-After."""
    browser = service.subscribe("one")
    service.refusals[browser.endpoint] = [Refusal(status=406, headers={"Retry-After": "600"})]
    async with channel(service, tmp_path) as push:
        with pytest.raises(Retry) as raised:
            await push.push(device_of(browser), notification())

    assert raised.value.after == timedelta(minutes=10)


async def test_name_that_leads_into_the_own_network_is_not_followed(service: PushService, tmp_path: Path) -> None:
    """The addresses that are connected to are checked, not the name alone."""
    browser = service.subscribe("one")
    settings = PushSettings(**service.options(tmp_path))
    async with open_webpush(settings, PublicResolver(Directory(service.port))) as push:
        with pytest.raises(Retry, match="not public"):
            await push.push(device_of(browser), notification())

    assert service.authorizations == []


async def test_service_that_is_not_named_is_not_spoken_to(service: PushService, tmp_path: Path) -> None:
    """What was registered under a wider list stays unserved under a narrower one, and is doubted."""
    browser = service.subscribe("one")
    async with channel(service, tmp_path, webpush_services="fcm.googleapis.com") as push:
        with pytest.raises(Unregistered, match="CONSUMERS_WEBPUSH_SERVICES") as raised:
            await push.push(device_of(browser), notification())

    assert (service.authorizations, raised.value.certain) == ([], False)


async def test_own_resolver_is_guarded(service: PushService, tmp_path: Path) -> None:
    """Without another wish, names are resolved to public addresses only."""
    async with open_webpush(PushSettings(**service.options(tmp_path))) as push:
        connector: Any = push._session.connector

        assert isinstance(connector._resolver, PublicResolver)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("142.250.1.1", True),
        ("2a00:1450:4001::1", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.0.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),  # noqa: S104  an address to refuse
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:142.250.1.1", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::8efa:101", True),
        ("2002:7f00:1::", False),
        ("localhost", False),
    ],
)
def test_address_is_public_or_not(address: str, *, expected: bool) -> None:
    """Nothing of our own network, of this machine or of a cloud's metadata is public, in whatever clothes."""
    assert is_public(address) == expected


@pytest.mark.parametrize(
    "endpoint",
    [
        None,
        7,
        "",
        "http://fcm.googleapis.com/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://2130706433/x",
        "https://0x7f.1/x",
        "https://localhost/x",
        "https://fcm.googleapis.com:8443/x",
        "https://fcm.googleapis.com:x/",
        "https://user@fcm.googleapis.com/x",
        "https://fcm.googleapis.com@10.0.0.1/x",
        "https://fcm.googleapis.com/x#y",
        "https://fcm.googleapis.com/\r\nHost: x",
        "https://fcm.googleapis.com.evil.example/x",
        "https://evilfcm.googleapis.com/x",
        "https://push.apple.com.evil.example/x",
        "https://push.apple.com/x",
        "https://notify.windows.com.:443/x",
    ],
)
def test_endpoint_that_is_none_is_refused(endpoint: object) -> None:
    """A user chooses where this service connects: to push services, and to nothing else."""
    given_keys = json.loads(Browser("one").subscription)["keys"]
    with pytest.raises(ValueError, match="endpoint"):
        parse(json.dumps({"endpoint": endpoint, "keys": given_keys}), WEB_PUSH_SERVICES)


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://fcm.googleapis.com/fcm/send/abc:def",
        "https://updates.push.services.mozilla.com/wpush/v2/x",
        "https://wns2-par02p.notify.windows.com/w/?token=a%2Fb%3d",
        "https://web.push.apple.com/Qx",
    ],
)
def test_endpoint_of_each_browser_is_taken_as_it_is(endpoint: str) -> None:
    """Chrome, Firefox, Edge and Safari can subscribe."""
    given_keys = json.loads(Browser("one").subscription)["keys"]

    assert parse(json.dumps({"endpoint": endpoint, "keys": given_keys}), WEB_PUSH_SERVICES).endpoint == endpoint


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        '{"endpoint":"https://fcm.googleapis.com/x"}',
        '{"endpoint":"https://fcm.googleapis.com/x","keys":{"p256dh":"BA","auth":"x"}}',
        "[" * 100_000,
    ],
    ids=range(6),
)
def test_subscription_that_is_none_is_refused(text: str) -> None:
    """The message says what is missing and repeats nothing."""
    with pytest.raises(ValueError, match=r"subscription|keys\.") as raised:
        parse(text, WEB_PUSH_SERVICES)

    assert "fcm.googleapis" not in str(raised.value)


@pytest.mark.parametrize("name", ["p256dh", "auth"])
@pytest.mark.parametrize("value", ["", "!", "AAAA", "é", encode(bytes(65)), COMPRESSED], ids=range(6))
def test_keys_that_encrypt_nothing_are_refused(name: str, value: str) -> None:
    """A key that is no point on the curve never reaches the cipher."""
    found = json.loads(Browser("one").subscription)
    found["keys"][name] = value
    with pytest.raises(ValueError, match=rf"keys\.{name}"):
        parse(json.dumps(found), WEB_PUSH_SERVICES)


@given(st.text())
def test_topic_is_one_that_services_take(name: str) -> None:
    """32 characters of base64url, whatever the id."""
    found = build_topic(name)

    assert (len(found), decode(found) != b"") == (32, True)


@given(st.text(max_size=80) | st.from_regex(r"[a-z.]{1,9}[/:@#?a-z0-9]*", fullmatch=True))
def test_endpoint_is_refused_in_one_way(text: str) -> None:
    """Whatever is given, it is an https address on its port or a ValueError."""
    try:
        url = parse_endpoint(f"https://{text}")
    except ValueError:
        return

    assert (url.scheme, url.port, url.user, str(url)) == ("https", 443, None, f"https://{text}")


def test_keys_stay_out_of_sight() -> None:
    """No log and no exception shows what messages are encrypted with."""
    device = device_of(Browser("one"))
    assert device.keys is not None

    assert device.keys.auth not in repr(device.keys) + repr(device)
    assert HOST not in repr(parse(Browser("one").subscription, WEB_PUSH_SERVICES))


async def test_device_without_keys_is_not_pushed_to(service: PushService, tmp_path: Path) -> None:
    """Nothing leaves unencrypted."""
    browser = service.subscribe("one")
    bare = Device(owner=USER, token=browser.endpoint, platform="web", channel="webpush")
    async with channel(service, tmp_path) as push:
        with pytest.raises(Unregistered):
            await push.push(bare, notification())

    assert service.authorizations == []
