"""Push devices: how a path names one, and the commands about it."""

import re
from base64 import urlsafe_b64encode
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID, uuid5

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, derive_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from processor.core.sign_request.device import (
    PATH_PATTERN,
    BadDevice,
    DeviceOwner,
    digest_of,
    path_of,
    registration,
    removal,
)
from schemas.api import DeviceRegistration
from schemas.commands import DeviceRegistered, DeviceRemoved
from tests.core.payloads import ACCOUNT, APPLICATION, NOW, SHOP

DEVICES = UUID("0b9f2a86-1d55-5d0c-9a7e-6a1f4c83e7d2")
COMMANDS = UUID("c1a4e7f0-62d9-5b3b-8f0e-94d2b6a7150c")
USER = "8f5b1d3a-0000-4000-8000-00000000c001"
OWNER = DeviceOwner(application=SHOP, account=ACCOUNT, at=NOW, user=USER)
TOKEN = "dGhlLXBob25l:APA91b-of_a.device~token"
APNS = "0123456789abcdef" * 4
ENDPOINT = "https://push.example.com/send/1"
PATH = urlsafe_b64encode(sha256(ENDPOINT.encode()).digest()).rstrip(b"=").decode()
POINT = derive_private_key(7, SECP256R1()).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def text(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()


def asked(channel: str, *, point: bytes = POINT, endpoint: str = ENDPOINT, **more: Any) -> DeviceRegistration:
    if channel == "webpush":
        keys = {"p256dh": text(point), "auth": text(bytes(16))}
        more["subscription"] = {"endpoint": endpoint, "keys": keys}
    return DeviceRegistration.model_validate({"channel": channel} | more)


def registered(named: str, request: DeviceRegistration, owner: DeviceOwner = OWNER) -> DeviceRegistered:
    command = registration(owner, named, request)
    assert isinstance(command, DeviceRegistered)
    return command


@pytest.mark.parametrize(
    ("channel", "named", "token", "platform"),
    [("fcm", TOKEN, TOKEN, "android"), ("apns", APNS, APNS, "ios"), ("webpush", PATH, ENDPOINT, "web")],
)
def test_registration(channel: str, named: str, token: str, platform: str) -> None:
    """Whose device it is, the way to it, and by default the platform that its channel serves."""
    command = registered(named, asked(channel, locale="de-CH"))
    digest = sha256(token.encode()).hexdigest()

    assert {
        "application": APPLICATION,
        "account": ACCOUNT,
        "channel": channel,
        "token": token,
        "platform": platform,
        "locale": "de-CH",
        "user": USER,
    } == command.data.model_dump(exclude={"keys"})
    assert (channel == "webpush") == (command.data.keys is not None)
    assert ("/xumm/shop", str(uuid5(DEVICES, digest)), NOW) == (command.source, command.subject, command.time)
    assert command.id == str(uuid5(COMMANDS, f"shop/registered/{digest}/{ACCOUNT}/{NOW.isoformat()}"))


def test_registration_keeps_what_was_asked() -> None:
    """A platform that is named counts; who has no reference is registered without."""
    command = registered(TOKEN, asked("fcm", platform="ios"), DeviceOwner(application=SHOP, account=ACCOUNT, at=NOW))

    assert ("ios", None, None) == (command.data.platform, command.data.locale, command.data.user)


def test_keys_of_a_browser_are_kept() -> None:
    """They are those of its subscription."""
    keys = registered(PATH, asked("webpush")).data.keys

    assert keys is not None
    assert (text(POINT), text(bytes(16))) == (keys.p256dh, keys.auth)


@pytest.mark.parametrize(
    ("channel", "named", "fits"),
    [
        ("fcm", "A" * 7, False),
        ("fcm", "A" * 8, True),
        ("fcm", "A" * 43, False),
        ("fcm", "A" * 44, True),
        ("fcm", "A" * 42 + ":", True),
        ("fcm", "A" * 2048, True),
        ("fcm", "A" * 2049, False),
        ("fcm", "A" * 8 + "/", False),
        ("fcm", "A" * 8 + "\n", False),
        ("apns", "ab" * 15, False),
        ("apns", "aB" * 16, True),
        ("apns", "ab" * 16 + "a", False),
        ("apns", "ab" * 100, True),
        ("apns", "ab" * 101, False),
        ("apns", TOKEN, False),
        ("webpush", TOKEN, False),
        ("webpush", PATH + "A", False),
    ],
)
def test_tokens_have_the_form_of_their_channel(channel: str, named: str, *, fits: bool) -> None:
    """None is taken that could be the path of a browser, nor any that no provider hands out."""
    if fits:
        assert named == registered(named, asked(channel)).data.token
        return
    with pytest.raises(BadDevice, match=r"^token: malformed$") as caught:
        registered(named, asked(channel))

    assert ("token", "malformed") == (caught.value.field, caught.value.reason)


def test_path_of_a_browser_is_that_of_its_endpoint() -> None:
    """A browser that is named by another's path is not registered."""
    with pytest.raises(BadDevice, match=r"^token: not_the_endpoints_sha256$"):
        registered(PATH, asked("webpush", endpoint=f"{ENDPOINT}1"))

    assert PATH == path_of(ENDPOINT)


def test_key_of_a_browser_must_lie_on_the_curve() -> None:
    """To any other nothing can be encrypted."""
    with pytest.raises(BadDevice, match=r"^subscription\.keys\.p256dh: not_on_the_curve$"):
        registered(PATH, asked("webpush", point=b"\x04" + bytes(63) + b"\x01"))


@pytest.mark.parametrize(
    ("named", "digest"),
    [
        (TOKEN, sha256(TOKEN.encode()).hexdigest()),
        (APNS.upper(), sha256(APNS.encode()).hexdigest()),
        (PATH, sha256(ENDPOINT.encode()).hexdigest()),
    ],
)
def test_removal(named: str, digest: str) -> None:
    """The device is named by its digest, as everywhere else; the command has no way to it."""
    command = removal(OWNER, named)

    assert isinstance(command, DeviceRemoved)
    assert digest == command.data.device == digest_of(named)
    assert (APPLICATION, ACCOUNT) == (command.data.application, command.data.account)
    assert ("/xumm/shop", str(uuid5(DEVICES, digest)), NOW) == (command.source, command.subject, command.time)
    assert command.id == str(uuid5(COMMANDS, f"shop/removed/{digest}/{ACCOUNT}/{NOW.isoformat()}"))


@pytest.mark.parametrize("named", ["", "A" * 7, "A" * 2049, "a b c d e"])
def test_what_names_no_device_cannot_be_removed(named: str) -> None:
    """No channel has such tokens."""
    with pytest.raises(BadDevice, match=r"^token: malformed$"):
        removal(OWNER, named)


def test_commands_differ_by_what_was_asked_and_when() -> None:
    """Asking again a second later, for another account, or for the opposite, is another command."""
    later = DeviceOwner(application=SHOP, account=ACCOUNT, at=NOW + timedelta(seconds=1))
    other = DeviceOwner(application=SHOP, account="rPT1Sjq2YGrBMTttX4GZHjKu9dyfzbpAYe", at=NOW)
    ids = {removal(owner, TOKEN).id for owner in (OWNER, later, other)} | {registered(TOKEN, asked("fcm")).id}

    assert 4 == len(ids)


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (TOKEN, True),
        (APNS, True),
        (PATH, True),
        ("A" * 8, True),
        ("A" * 7, False),
        ("A" * 2048, True),
        ("A" * 2049, False),
        ("a/b.c d!", False),
    ],
)
def test_what_a_path_can_name(named: str, *, expected: bool) -> None:
    """Whatever the channel."""
    assert expected == (re.fullmatch(PATH_PATTERN, named) is not None)
