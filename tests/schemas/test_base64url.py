"""Base64url without padding."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.base64url import decode, encode


@given(st.binary())
def test_round_trip(content: bytes) -> None:
    """What was encoded comes back, padded or not, and needs no escape in an address."""
    text = encode(content)

    assert decode(text) == decode(text + "=" * (-len(text) % 4)) == content
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


@pytest.mark.parametrize("text", ["a", "a b", "a\n", "ä", "ab.c", "=a=b"])
def test_what_is_none_is_refused(text: str) -> None:
    """Nothing is skipped over, and what has an impossible length is nothing."""
    with pytest.raises(ValueError, match=r"(?i)base64|padding|ascii"):
        decode(text)
