"""APNs: what is asked of it, how provider tokens live, and what its refusals mean."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from consumers.push.channels.apns import TOKEN_LIFETIME, ApnsChannel, ProviderTokens, build_collapse_id, open_apns
from consumers.push.channels.channel import Unregistered
from consumers.push.channels.signing_key import SigningKey
from consumers.push.settings import PushSettings
from consumers.runtime.errors import ConsumerError, Fatal, Retry
from tests.consumers.push.channels.apns_server import KEY_ID, TEAM_ID, ApnsServer, Refusal
from tests.consumers.push.channels.authority import key_file
from tests.consumers.push.channels.web_token import verified
from tests.consumers.push.notifications import PHONE, notification


@asynccontextmanager
async def channel(apns: ApnsServer, directory: Path, **options: Any) -> AsyncIterator[ApnsChannel]:
    async with open_apns(PushSettings(**{**apns.options(directory), **options})) as found:
        yield found


async def test_request_says_what_apns_needs_to_know(apns: ApnsServer, tmp_path: Path) -> None:
    """Topic, kind, urgency, end and collapse id stand in headers; text and identifiers in the body."""
    told = notification("resolve.validated", "ja")
    async with channel(apns, tmp_path) as push:
        await push.push(PHONE, told)
    (taken,) = apns.taken

    headers = {name: value for name, value in taken.headers.items() if name.startswith("apns-")}
    lasts = int(headers.pop("apns-expiration")) - time.time()
    assert headers == {
        "apns-topic": "com.example.shop",
        "apns-push-type": "alert",
        "apns-priority": "10",
        "apns-collapse-id": told.id,
    }
    assert lasts == pytest.approx(told.lifetime.total_seconds(), abs=30)
    assert taken.body["aps"]["alert"] == {"title": "取引が確定しました", "body": told.body}
    assert (taken.body["aps"]["thread-id"], taken.body["event_id"]) == (told.data["payload"], told.id)


async def test_one_connection_and_one_token_serve_many(apns: ApnsServer, tmp_path: Path) -> None:
    """APNs closes the door on those who connect or sign anew for each notification."""
    async with channel(apns, tmp_path) as push:
        for _ in range(5):
            await push.push(PHONE, notification())

    assert (len(apns.taken), apns.connections, len(apns.provider_tokens)) == (5, 1, 1)


async def test_broken_connection_is_replaced(apns: ApnsServer, tmp_path: Path) -> None:
    """A connection that broke costs one retry at most."""
    async with channel(apns, tmp_path) as push:
        await push.push(PHONE, notification())
        apns.drop()
        try:
            await push.push(PHONE, notification())
        except Retry:
            await push.push(PHONE, notification())

    assert (len(apns.taken), apns.connections) == (2, 2)


async def test_expired_provider_token_is_replaced_at_once(apns: ApnsServer, tmp_path: Path) -> None:
    """A token that APNs takes no more costs no retry of the message."""
    key = SigningKey(apns.key)
    clock = Clock()
    tokens = ProviderTokens(key, key_id=KEY_ID, team_id=TEAM_ID, now=clock)
    async with channel(apns, tmp_path) as push:
        push._tokens = tokens
        await push.push(PHONE, notification())
        apns.expired.add(apns.provider_tokens[0])
        clock.at += 1
        await push.push(PHONE, notification())

    assert (len(apns.taken), len(apns.provider_tokens)) == (2, 2)


async def test_second_expired_token_is_no_reason_for_a_third(apns: ApnsServer, tmp_path: Path) -> None:
    """Where the clock is wrong, every token is expired: that is told, and retried later."""
    apns.refusals[PHONE.token] = [Refusal(status=403, reason="ExpiredProviderToken")] * 3
    async with channel(apns, tmp_path) as push:
        with pytest.raises(Retry, match="clock"):
            await push.push(PHONE, notification())

    assert len(apns.refusals[PHONE.token]) == 1


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.at = time.time()

    def __call__(self) -> float:
        return self.at


def test_provider_token_is_kept_and_replaced_in_time() -> None:
    """Apple wants one each 20 to 60 minutes."""
    private = ec.generate_private_key(ec.SECP256R1())
    clock = Clock()
    tokens = ProviderTokens(SigningKey(private), key_id=KEY_ID, team_id=TEAM_ID, now=clock)
    first = tokens.current()
    clock.at += TOKEN_LIFETIME.total_seconds() - 1
    kept = tokens.current()
    clock.at += 1
    second = tokens.current()

    assert (kept == first, second == first) == (True, False)
    assert timedelta(minutes=20) < TOKEN_LIFETIME < timedelta(minutes=60)
    assert verified(second, private.public_key()) == (
        {"alg": "ES256", "kid": KEY_ID, "typ": "JWT"},
        {"iss": TEAM_ID, "iat": int(clock.at)},
    )


def test_clock_that_was_set_back_makes_a_new_token() -> None:
    """A token from the future would be refused."""
    clock = Clock()
    key = SigningKey(ec.generate_private_key(ec.SECP256R1()))
    tokens = ProviderTokens(key, key_id=KEY_ID, team_id=TEAM_ID, now=clock)
    first = tokens.current()
    clock.at -= 7200

    assert tokens.current() != first


def test_discarding_spares_the_token_that_came_after() -> None:
    """Two requests that were refused with one token make one new token, not two."""
    clock = Clock()
    key = SigningKey(ec.generate_private_key(ec.SECP256R1()))
    tokens = ProviderTokens(key, key_id=KEY_ID, team_id=TEAM_ID, now=clock)
    first = tokens.current()
    tokens.discard(first)
    second = tokens.current()
    tokens.discard(first)

    assert tokens.current() == second


@pytest.mark.parametrize(
    ("refusal", "error", "told"),
    [
        (Refusal(status=400, reason="BadDeviceToken"), Unregistered, "BadDeviceToken"),
        (Refusal(status=400, reason="DeviceTokenNotForTopic"), Unregistered, "DeviceTokenNotForTopic"),
        (Refusal(status=410, reason="ExpiredToken"), Unregistered, "ExpiredToken"),
        (Refusal(status=410), Unregistered, "410"),
        (Refusal(status=403, reason="InvalidProviderToken"), Fatal, "CONSUMERS_APNS_KEY_ID"),
        (Refusal(status=400, reason="TopicDisallowed"), Fatal, "CONSUMERS_APNS_TOPIC"),
        (Refusal(status=403, reason="BadEnvironmentKeyInToken"), Fatal, "CONSUMERS_APNS_URL"),
        (Refusal(status=400, reason="BadExpirationDate"), Fatal, "BadExpirationDate"),
        (Refusal(status=429, reason="TooManyProviderTokenUpdates"), Retry, "TooManyProviderTokenUpdates"),
        (Refusal(status=500, reason="InternalServerError"), Retry, "InternalServerError"),
        (Refusal(status=400, body=b'{"reason":["x"]}'), Fatal, "400"),
    ],
    ids=lambda value: value.reason or str(value.status) if isinstance(value, Refusal) else "",
)
async def test_refusal_means_what_apple_documents(
    apns: ApnsServer, tmp_path: Path, refusal: Refusal, error: type[Exception], told: str
) -> None:
    """Dead tokens, our own mistakes and passing trouble are told apart, and settings are named."""
    apns.refusals[PHONE.token] = [refusal]
    async with channel(apns, tmp_path) as push:
        with pytest.raises(error, match=told):
            await push.push(PHONE, notification())


async def test_wrong_key_is_a_mistake_of_the_operator(apns: ApnsServer, tmp_path: Path) -> None:
    """APNs verifies the signature, and the settings to look at are named."""
    path = key_file(tmp_path / "other.p8", ec.generate_private_key(ec.SECP256R1()))
    async with channel(apns, tmp_path, apns_key=path) as push:
        with pytest.raises(Fatal, match=r"InvalidProviderToken.*CONSUMERS_APNS_KEY,"):
            await push.push(PHONE, notification())


async def test_death_is_dated(apns: ApnsServer, tmp_path: Path) -> None:
    """APNs says since when, so that an app installed again later keeps its registration."""
    since = datetime(2026, 3, 1, 12, tzinfo=UTC)
    apns.refusals[PHONE.token] = [
        Refusal(status=410, reason="Unregistered", timestamp=int(since.timestamp() * 1000)),
        Refusal(status=410, reason="Unregistered", timestamp=10**30),
    ]
    dated = []
    async with channel(apns, tmp_path) as push:
        for _ in range(2):
            with pytest.raises(Unregistered) as raised:
                await push.push(PHONE, notification())
            dated.append(raised.value.since)

    assert dated == [since, None]


async def test_server_without_a_certificate_is_not_talked_to(
    apns: ApnsServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Certificates are verified: nobody else gets tokens and texts."""
    options = apns.options(tmp_path)
    monkeypatch.delenv("SSL_CERT_FILE")
    async with open_apns(PushSettings(**options)) as push:
        with pytest.raises(Retry, match="ConnectError"):
            await push.push(PHONE, notification())

    assert apns.provider_tokens == []


@given(st.text(), st.text())
def test_collapse_id_fits_and_stays_apart(one: str, other: str) -> None:
    """64 bytes at most, equal for equal names and for no others."""
    first, second = build_collapse_id(one * 8), build_collapse_id(other * 8)

    assert max(len(first.encode()), len(second.encode())) <= 64
    assert (first == second) == (one == other)


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN PRIVATE KEY-----\n", "ed25519", "p384"], ids=str)
async def test_unusable_key_file_is_named(tmp_path: Path, content: bytes | str | None) -> None:
    """The message names the setting to mend."""
    path = tmp_path / "AuthKey.p8"
    keys = {"ed25519": ed25519.Ed25519PrivateKey.generate(), "p384": ec.generate_private_key(ec.SECP384R1())}
    if isinstance(content, str):
        path.write_bytes(keys[content].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(ConsumerError, match=r"^CONSUMERS_APNS_KEY: .*AuthKey\.p8"):
        SigningKey.read(path, setting="CONSUMERS_APNS_KEY")
