"""Where users may be sent back to."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.sign_request.return_url import STATE_BYTES, build_url, fault_of, is_registered

REGISTERED = ("shopapp://signed", "https://app.example.com/signed")


@pytest.mark.parametrize(
    "url",
    [
        *REGISTERED,
        "com.example.shop://x",
        "com.example.app:/oauth2redirect",
        "shopapp:/signed/x",
        "https://app.example.com/",
        "shopapp://" + "x" * 160,
    ],
)
def test_own_addresses(url: str) -> None:
    """A scheme of one's own, or a host."""
    assert fault_of(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "javascript://x",
        "javascript:alert(1)",
        "http://app.example.com/",
        "intent://x",
        "xumm://x",
        "https://localhost/",
        "https://127.0.0.1@evil.com/",
        "https://app.example.com:443/",
        "https://App.example.com/",
        "https:///x",
        "https://x\\y.com/",
        "//app.example.com",
        "shop app://x",
        "shopapp://x?y",
        "shopapp://x#y",
        "shopapp://ä",
        "shopapp://",
        "shopapp:",
        "shopapp:/",
        "shopapp:signed",
        "shopapp:///signed",
        "shopapp:/a@b",
        "shopapp:/x?y",
        "https:/app.example.com/signed",
        "http:/app.example.com/signed",
        "javascript:/alert(1)",
        "data:/text",
        "xaman:/x",
        "shopapp://x\n",
        "shopapp://" + "x" * 161,
    ],
)
def test_what_nobody_can_register(url: str) -> None:
    """Schemes of others, hosts that are none, users, queries, and what is not plain text."""
    assert fault_of(url) is not None
    assert not is_registered(url, [url])


@given(st.text())
def test_only_what_is_registered(url: str) -> None:
    """Nothing else passes, however alike."""
    assert is_registered(url, REGISTERED) == (url in REGISTERED)
    assert not is_registered(REGISTERED[1] + url, REGISTERED) or url == ""


@given(st.integers(1, 300))
def test_xumm_takes_what_is_registered(length: int) -> None:
    """With state and tags no address is longer than the 250 characters that Xumm takes."""
    url = "shopapp://" + "x" * length

    assert (fault_of(url) is None) == (len(build_url(url, secrets.token_urlsafe(STATE_BYTES))) <= 250)


def test_built() -> None:
    """The state comes along, and the tags that Xumm replaces."""
    assert build_url("shopapp://signed", "S") == "shopapp://signed?state=S&id={id}&cid={cid}&txid={txid}"
