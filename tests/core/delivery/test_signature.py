import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.delivery.signature import HEADER_SIGNATURE, HEADER_TIMESTAMP, HEX_DIGITS, key_of, matches, sign
from tests.core.payloads import SECRET

GOLDEN_BODY = '{"custom_meta":{"instruction":"Hey ❤️ ..."}}'.encode()
GOLDEN_SIGNATURE = "bf231782174546d1a6174d54164f02ac45da687d"


def test_golden_vector() -> None:
    """The signature that Xumm's own sender makes for a known secret, time and body."""
    assert sign(key_of(SECRET), "1700000000", GOLDEN_BODY) == GOLDEN_SIGNATURE


@pytest.mark.parametrize("key", [SECRET.encode(), SECRET.replace("-", "").encode(), b""])
def test_only_the_first_dash_goes(key: bytes) -> None:
    """A key with all dashes, with none, or without content makes another signature."""
    assert sign(key, "1700000000", GOLDEN_BODY) != GOLDEN_SIGNATURE


@given(secret=st.uuids(), timestamp=st.integers(0, 10**11), body=st.binary(max_size=300))
def test_agrees_with_a_plain_hmac(secret: object, timestamp: int, body: bytes) -> None:
    """The one-shot form equals the textbook one over timestamp and body."""
    key = str(secret).replace("-", "", 1).encode()
    expected = hmac.new(key, str(timestamp).encode() + body, hashlib.sha1).hexdigest()

    assert expected == sign(key_of(str(secret)), str(timestamp), body)


@given(body=st.binary(min_size=1, max_size=300), data=st.data())
def test_one_changed_byte_is_noticed(body: bytes, data: st.DataObject) -> None:
    """No changed byte of the body passes under the old signature."""
    signature = bytes.fromhex(sign(b"key", "1700000000", body))
    at = data.draw(st.integers(0, len(body) - 1))
    changed = body[:at] + bytes([body[at] ^ data.draw(st.integers(1, 255))]) + body[at + 1 :]

    assert matches([b"key"], "1700000000", body, signature)
    assert not matches([b"key"], "1700000000", changed, signature)


def test_any_of_several_keys_matches() -> None:
    """During a rotation the old key and the new one are both good."""
    signature = bytes.fromhex(sign(b"old", "1", b"body"))

    assert matches([b"new", b"old"], "1", b"body", signature)
    assert not matches([b"new"], "1", b"body", signature)
    assert not matches([], "1", b"body", signature)


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 200])
def test_keys_of_any_length(length: int) -> None:
    """Longer ones than a block are hashed first, as HMAC has it."""
    key = bytes(range(200))[:length]

    assert hmac.new(key, b"1body", hashlib.sha1).hexdigest() == sign(key, "1", b"body")


def test_names_of_headers() -> None:
    """As Xumm sends them: 40 digits, and a time."""
    assert ("x-xumm-request-signature", "x-xumm-request-timestamp", 40) == (
        HEADER_SIGNATURE,
        HEADER_TIMESTAMP,
        HEX_DIGITS,
    )
    assert HEX_DIGITS == len(GOLDEN_SIGNATURE)
