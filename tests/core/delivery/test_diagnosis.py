import base64
import hmac
import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.delivery.diagnosis import Finding, diagnose
from processor.core.delivery.signature import key_of, sign

SECRET = "12345678-90ab-4cde-8f01-234567890abc"
TIMESTAMP = "1700000000"
BODY = '{"custom_meta":{"instruction":"Hey ❤️ ..."}}'.encode()
SIGNATURE = "bf231782174546d1a6174d54164f02ac45da687d"
NOW = datetime.fromtimestamp(1700000000, UTC)


def findings(
    signature: str,
    *,
    secret: str = SECRET,
    timestamp: str = TIMESTAMP,
    body: bytes = BODY,
    now: datetime = NOW,
) -> tuple[Finding, ...]:
    return diagnose(secret, timestamp, signature, body, now).findings


def mac(key: bytes, message: bytes, name: str = "sha1") -> bytes:
    return hmac.digest(key, message, name)


def test_finds_the_golden_vector_valid() -> None:
    """The published example is right."""
    found = diagnose(SECRET, TIMESTAMP, SIGNATURE, BODY, NOW)

    assert (found.valid, found.findings) == (True, ("valid",))


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (SECRET.replace("-", ""), "key_all_dashes"),
        (SECRET, "key_no_dash"),
        (SECRET.upper().replace("-", "", 1), "key_case"),
        (SECRET.replace("-", "", 1) + "\n", "secret_padded"),
        ("", "secret_empty"),
        ("99999999-90ab-4cde-8f01-234567890abc", "nothing_matches"),
    ],
)
def test_finds_mistakes_in_the_key(key: str, expected: Finding) -> None:
    """A signature made with another form of the secret says which."""
    signature = mac(key.encode(), TIMESTAMP.encode() + BODY).hex()

    assert findings(signature) == (expected,)


VALUE = {"b": "Hey ❤️ ...", "a": "https://x/y", "n": 1}
COMPACT = json.dumps(VALUE, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        (COMPACT + b"\n", "body_newline"),
        (COMPACT + b"\r\n", "body_newline"),
        (b"  " + COMPACT + b" ", "body_trimmed"),
        (json.dumps(VALUE, ensure_ascii=False).encode(), "body_reformatted"),
        (json.dumps(VALUE).encode(), "body_reformatted"),
        (json.dumps(VALUE, indent=2).encode(), "body_reformatted"),
        (COMPACT.replace(b"/", b"\\/"), "body_reformatted"),
        (COMPACT.replace(b"Hey", b"Bye"), "nothing_matches"),
        (b"[" * 5000, "nothing_matches"),
    ],
)
def test_finds_mistakes_in_the_body(received: bytes, expected: Finding) -> None:
    """A body that is not the one that was signed says how it differs, where it is the same JSON."""
    assert findings(sign(key_of(SECRET), TIMESTAMP, COMPACT), body=received) == (expected,)


def test_finds_a_body_whose_keys_were_sorted() -> None:
    """A signature over sorted keys is explained by the body as it came."""
    signed = json.dumps(VALUE, sort_keys=True).encode()

    assert findings(sign(key_of(SECRET), TIMESTAMP, signed), body=COMPACT) == ("body_reformatted",)


@pytest.mark.parametrize(
    ("signature", "expected"),
    [
        ("", ("signature_missing",)),
        ("no signature", ("signature_malformed",)),
        (SIGNATURE[:-2], ("signature_malformed",)),
        (SIGNATURE.upper(), ("signature_upper_case",)),
        (base64.b64encode(bytes.fromhex(SIGNATURE)).decode(), ("signature_base64",)),
        (f"sha1={SIGNATURE}", ("signature_prefixed",)),
        (mac(key_of(SECRET), TIMESTAMP.encode() + BODY, "sha256").hex(), ("algorithm",)),
        (mac(key_of(SECRET), BODY).hex(), ("timestamp_unsigned",)),
        (mac(key_of(SECRET), f"{TIMESTAMP}000".encode() + BODY).hex(), ("timestamp_milliseconds",)),
        (mac(SECRET.encode(), TIMESTAMP.encode() + BODY + b"\n").hex(), ("key_no_dash", "body_newline")),
        (f" {SIGNATURE}\n", ("valid",)),
    ],
)
def test_finds_mistakes_in_the_signature(signature: str, expected: tuple[Finding, ...]) -> None:
    """Another notation, another hash, another message, and two mistakes at once."""
    assert findings(signature) == expected


@pytest.mark.parametrize(("seconds", "expected"), [(300, "valid"), (301, "timestamp_stale"), (-301, "timestamp_stale")])
def test_finds_clocks_that_differ(seconds: int, expected: Finding) -> None:
    """A right signature more than 300 s from now, either way, is stale."""
    assert findings(SIGNATURE, now=NOW + timedelta(seconds=seconds)) == (expected,)


@pytest.mark.parametrize(
    ("timestamp", "expected"), [("1700000000000", "timestamp_milliseconds"), ("soon", "timestamp_malformed")]
)
def test_finds_timestamps_of_another_form(timestamp: str, expected: Finding) -> None:
    """A signed timestamp that is not in whole seconds is named."""
    assert findings(sign(key_of(SECRET), timestamp, BODY), timestamp=timestamp) == (expected,)


def test_asks_for_a_secret() -> None:
    """Without a secret nothing can be said, unless the sender had none either."""
    assert findings(SIGNATURE, secret="") == ("secret_missing",)
    assert findings(mac(b"", TIMESTAMP.encode() + BODY).hex(), secret="") == ("secret_empty",)


@given(body=st.binary(max_size=200), secret=st.uuids(version=4).map(str))
def test_agrees_with_the_signature_that_is_checked_on_deliveries(body: bytes, secret: str) -> None:
    """Whatever was signed rightly is valid, and nothing else is."""
    signature = sign(key_of(secret), TIMESTAMP, body)

    assert findings(signature, secret=secret, body=body) == ("valid",)
    assert findings(sign(key_of(secret), TIMESTAMP, body + b"x"), secret=secret, body=body) != ("valid",)


def test_explains_every_finding() -> None:
    """Each finding comes with advice."""
    found = diagnose(SECRET, TIMESTAMP, mac(SECRET.encode(), TIMESTAMP.encode() + BODY + b"\n").hex(), BODY, NOW)

    assert [len(advice) > 20 for advice in found.advice] == [True, True]
