from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from multidict import CIMultiDict

from processor.core.application import Application, Secret
from processor.core.delivery.authentication import (
    HEADER_ATTEMPT,
    HEADER_PAYLOAD,
    TOLERANCE,
    Delivery,
    Refusal,
    attempt_of,
    authenticate,
)
from processor.core.delivery.signature import HEADER_SIGNATURE, HEADER_TIMESTAMP, key_of, matches, sign
from tests.core.payloads import NOW, SECRET, SHOP

BODY = b'{"any":"body"}'
OLD_SECRET = "aaaaaaaa-90ab-4cde-8f01-234567890abc"


def headers(*, secret: str = SECRET, timestamp: str | None = None, **more: str) -> CIMultiDict[str]:
    timestamp = timestamp or str(int(NOW.timestamp()))
    signature = sign(key_of(secret), timestamp, BODY)
    return CIMultiDict({HEADER_SIGNATURE: signature, HEADER_TIMESTAMP: timestamp, **more})


def seconds_off(seconds: float) -> str:
    return str(int(NOW.timestamp() + seconds))


def test_authentic_delivery() -> None:
    """What was signed with the application's secret just now is a delivery, with its attempt."""
    checked = authenticate(SHOP, headers(**{"X-Xumm-Attempt": "3"}), BODY, NOW)

    assert Delivery(application=SHOP, body=BODY, received_at=NOW, attempt=3) == checked


@pytest.mark.parametrize("off", [-TOLERANCE.total_seconds(), 0, TOLERANCE.total_seconds()])
def test_clock_may_differ(off: float) -> None:
    """Five minutes either way are tolerated."""
    assert isinstance(authenticate(SHOP, headers(timestamp=seconds_off(off)), BODY, NOW), Delivery)


@pytest.mark.parametrize("off", [-301, 302, -86400])
def test_stale_delivery_is_refused_as_authentic(off: float) -> None:
    """A right signature with a wrong time is refused, and known to be only that."""
    checked = authenticate(SHOP, headers(timestamp=seconds_off(off)), BODY, NOW)

    assert Refusal(reason="timestamp_stale", verdict="timestamp_stale", authentic=True) == checked


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (HEADER_SIGNATURE, None, "signature_missing"),
        (HEADER_TIMESTAMP, None, "signature_missing"),
        (HEADER_SIGNATURE, "", "signature_malformed"),
        (HEADER_SIGNATURE, "ab" * 19, "signature_malformed"),
        (HEADER_SIGNATURE, "zz" * 20, "signature_malformed"),
        (HEADER_SIGNATURE, "é" * 40, "signature_malformed"),
        (HEADER_SIGNATURE, " " * 40, "signature_malformed"),
        (HEADER_SIGNATURE, "ab" * 20, "signature_invalid"),
        (HEADER_TIMESTAMP, "", "timestamp_malformed"),
        (HEADER_TIMESTAMP, "-1", "timestamp_malformed"),
        (HEADER_TIMESTAMP, "1e9", "timestamp_malformed"),
        (HEADER_TIMESTAMP, "\u0661" * 10, "timestamp_malformed"),
        (HEADER_TIMESTAMP, "9" * 5000, "timestamp_malformed"),
        (HEADER_TIMESTAMP, "1700000000.5", "timestamp_malformed"),
    ],
)
@pytest.mark.parametrize("application", [SHOP, None])
def test_refusals_are_alike_for_known_and_unknown(
    application: Application | None, name: str, value: str | None, reason: str
) -> None:
    """Each malformed header has its reason, and an application that does not exist answers the same."""
    given = headers()
    del given[name]
    if value is not None:
        given[name] = value

    checked = authenticate(application, given, BODY, NOW)

    assert isinstance(checked, Refusal)
    assert reason == checked.reason
    assert not checked.authentic


def test_unknown_application_is_told_apart_only_inside() -> None:
    """The caller hears of a bad signature; the delivery log hears that there is no such application."""
    checked = authenticate(None, headers(), BODY, NOW)

    assert Refusal(reason="signature_invalid", verdict="unknown_application") == checked


def test_decoy_secret_opens_nothing() -> None:
    """The secret that unknown applications are checked against is public, and is refused."""
    checked = authenticate(None, headers(secret="00000000-0000-4000-8000-000000000000"), BODY, NOW)

    assert Refusal(reason="signature_invalid", verdict="unknown_application") == checked


@pytest.mark.parametrize(("left", "accepted"), [(timedelta(seconds=1), True), (timedelta(0), False)])
def test_rotated_secret_ends(left: timedelta, accepted: bool) -> None:  # noqa: FBT001
    """The old secret is good until its last moment, and then no longer."""
    old = Secret(key=key_of(OLD_SECRET), not_after=NOW + left)
    application = replace(SHOP, secrets=(*SHOP.secrets, old))

    checked = authenticate(application, headers(secret=OLD_SECRET), BODY, NOW)

    assert accepted == isinstance(checked, Delivery)


@pytest.mark.parametrize("attempt", ["0", "", "x", "100", "²", "-1"])
def test_odd_attempts_are_dropped(attempt: str) -> None:
    """The attempt header is unsigned: what makes no sense is not kept, and nothing depends on it."""
    checked = authenticate(SHOP, headers(**{"x-xumm-attempt": attempt}), BODY, NOW)

    assert isinstance(checked, Delivery)
    assert checked.attempt is None


def test_secrets_are_not_shown() -> None:
    """Neither the representation of an application nor of a delivery holds a secret or a body."""
    text = repr(authenticate(SHOP, headers(), BODY, NOW)) + repr(SHOP)

    assert SECRET[9:] not in text
    assert "any" not in text


class Counted:
    """Counts the keys that signatures are checked with."""

    def __init__(self) -> None:
        self.keys = 0

    def __call__(self, keys: Sequence[bytes], timestamp: str, body: bytes, signature: bytes) -> bool:
        self.keys += len(keys)
        return matches(keys, timestamp, body, signature)


ROTATING = replace(SHOP, secrets=(*SHOP.secrets, Secret(key=key_of(OLD_SECRET)), Secret(key=b"over", not_after=NOW)))


@pytest.mark.parametrize("application", [None, SHOP, ROTATING], ids=["none", "one key", "two keys of three"])
def test_a_refusal_costs_the_same_for_all(application: Application | None) -> None:
    """However many keys an application has, and if there is none, a wrong signature is checked with as many."""
    counted = Counted()
    given = headers(secret="bbbbbbbb-90ab-4cde-8f01-234567890abc")
    checked = authenticate(application, given, BODY, NOW, keys=3, matches=counted)

    assert isinstance(checked, Refusal)
    assert 3 == counted.keys


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        (HEADER_SIGNATURE, "", "signature_malformed"),
        (HEADER_SIGNATURE, "ab" * 21, "signature_malformed"),
        (HEADER_TIMESTAMP, "1" * 13, "timestamp_malformed"),
        (HEADER_TIMESTAMP, "", "timestamp_malformed"),
    ],
)
def test_refusal_is_logged_by_its_reason(name: str, value: str, reason: Any) -> None:
    """Where the application is known, the log hears what the caller hears."""
    given = headers()
    given[name] = value

    assert Refusal(reason=reason, verdict=reason) == authenticate(SHOP, given, BODY, NOW)


@pytest.mark.parametrize("name", [HEADER_SIGNATURE, HEADER_TIMESTAMP])
def test_missing_header_is_one_reason(name: str) -> None:
    """Whichever of the two it is."""
    given = headers()
    del given[name]

    assert Refusal(reason="signature_missing", verdict="signature_missing") == authenticate(SHOP, given, BODY, NOW)


def test_timestamp_of_twelve_digits_is_read() -> None:
    """It is stale and not malformed; a wrong signature over it is told as stale, too, and not as authentic."""
    expected = Refusal(reason="timestamp_stale", verdict="timestamp_stale", authentic=True)

    assert expected == authenticate(SHOP, headers(timestamp="9" * 12), BODY, NOW)
    assert replace(expected, authentic=False) == authenticate(
        SHOP, headers(secret=OLD_SECRET, timestamp="9" * 12), BODY, NOW
    )


@pytest.mark.parametrize(("text", "attempt"), [("1", 1), ("5", 5), ("10", 10), ("99", 99), ("00", 0), (None, None)])
def test_attempt_that_the_sender_names(text: str | None, attempt: int | None) -> None:
    """Up to two digits."""
    assert attempt == attempt_of({} if text is None else {"x-xumm-attempt": text})


def test_delivery_shows_what_may_stand_in_a_log() -> None:
    """Application, size, time and attempt."""
    shown = repr(Delivery(application=SHOP, body=BODY, received_at=NOW, attempt=3))

    assert f"Delivery(shop, 14 bytes, {NOW}, 3)" == shown


def test_authentic_delivery_costs_one_check() -> None:
    """No decoy is tried once the signature is known to be right."""
    counted = Counted()
    authenticate(SHOP, headers(), BODY, NOW, keys=3, matches=counted)

    assert 1 == counted.keys


def test_names_of_headers_and_the_tolerance() -> None:
    """As Xumm sends them, and 300 s either way."""
    assert ("x-xumm-request-signature", "x-xumm-request-timestamp", "x-xumm-attempt", "x-xumm-payload") == (
        HEADER_SIGNATURE,
        HEADER_TIMESTAMP,
        HEADER_ATTEMPT,
        HEADER_PAYLOAD,
    )
    assert timedelta(seconds=300) == TOLERANCE


def test_refusal_is_checked_with_one_key_by_default() -> None:
    """Of a decoy, where there is no application."""
    counted = Counted()
    authenticate(None, headers(), BODY, NOW, matches=counted)

    assert 1 == counted.keys
