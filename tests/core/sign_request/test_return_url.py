"""Where users may be sent back to."""

import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.core.sign_request.return_url import (
    MAX_LINK,
    MAX_URL,
    STATE_BYTES,
    TAGS,
    build_url,
    fault_of,
    is_registered,
    link_fault_of,
)

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


@pytest.mark.parametrize(
    "link",
    [
        "https://app.example.com",
        "https://app.example.com/",
        "https://app.example.com:8443/in?a=b&c=d",
        "https://app.example.com?a=b",
        "https://App_1.example/in",
        "shopapp://signed-in",
        "shopapp://host:1/a.b_c~d/?=&%+:,;-",
        "com.example.app:/in",
        "com.example.app:/.well/in?x",
        "http://localhost:3000/in",
        "http://127.0.0.1/in",
        "a://" + "b" * 508,
    ],
)
def test_links_that_users_may_be_sent_back_to(link: str) -> None:
    """A host, an app, or this machine; a query may be in it."""
    assert link_fault_of(link) is None


FORM = "must be a link such as https://host/path, yourapp://in or com.example.app:/in, without user or fragment"
HOST = "must name a host"
HTTPS = "must be https: the code for a session travels with it"


@pytest.mark.parametrize(
    ("link", "fault"),
    [
        ("", FORM),
        ("shopapp", FORM),
        ("shopapp:", FORM),
        ("shopapp://", FORM),
        ("Shopapp://x", FORM),
        ("1shop://x", FORM),
        ("shopapp:///x", FORM),
        ("https://user@host/", FORM),
        ("https://host/#fragment", FORM),
        ("https://host:123456/", FORM),
        ("https://host:\u0661/", FORM),
        ("https://host/\n", FORM),
        ("https://h\u00e4st/", FORM),
        ("javascript://x", FORM),
        ("data:/x", FORM),
        ("ftp://host/x", FORM),
        ("intent://x", FORM),
        ("a://" + "b" * 509, FORM),
        ("https:/host", HOST),
        ("http:/localhost", HOST),
        ("http://app.example.com/in", HTTPS),
        ("http://localhost.example.com/in", HTTPS),
    ],
)
def test_links_that_nobody_is_sent_back_to(link: str, fault: str) -> None:
    """Each says why."""
    assert fault == link_fault_of(link)


PLAIN = "must be a plain address of at most 170 ASCII characters, without query or fragment"
BEGIN = "must begin with a scheme in small letters and :// or :/, and name a place"


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("", PLAIN),
        ("shopapp://x?y", PLAIN),
        ("shopapp://" + "x" * 161, PLAIN),
        ("shopapp", BEGIN),
        ("s://x", BEGIN),
        ("Shop://x", BEGIN),
        ("a" * 65 + "://x", BEGIN),
        ("shopapp://", BEGIN),
        ("shopapp:///x", BEGIN),
        ("shopapp://a@b", "must not name a user"),
        ("https:/host.example", "must name a host in small letters, such as https://app.example.com/signed"),
        ("https://host", "must name a host in small letters, such as https://app.example.com/signed"),
        ("https://-a.example", "must name a host in small letters, such as https://app.example.com/signed"),
        ("https://a-.example", "must name a host in small letters, such as https://app.example.com/signed"),
        (
            "https://" + "a" * 64 + ".example",
            "must name a host in small letters, such as https://app.example.com/signed",
        ),
    ],
)
def test_operator_hears_why(url: str, fault: str) -> None:
    """One sentence for each rule."""
    assert fault == fault_of(url)


FOREIGN = {
    *("javascript", "data", "vbscript", "file", "blob", "about", "http", "ftp", "ws", "wss", "intent", "content"),
    *("mailto", "tel", "sms", "market", "itms-apps", "view-source", "xumm", "xaman", "chrome", "jar", "filesystem"),
}


@pytest.mark.parametrize(
    "scheme",
    sorted(FOREIGN),
)
def test_schemes_of_others(scheme: str) -> None:
    """None of them leads to the application."""
    assert f"must not be {scheme}: use a scheme of your own, or https" == fault_of(f"{scheme}://x")
    assert (scheme == "http") == (link_fault_of(f"{scheme}://localhost") is None)


@pytest.mark.parametrize(
    "url", ["ab://x", "a" * 64 + "://x", "https://a.b", "https://1.2", "https://" + "a" * 63 + ".b"]
)
def test_shortest_and_longest_names(url: str) -> None:
    """Of schemes and of labels."""
    assert fault_of(url) is None


def test_limits() -> None:
    """Xumm takes 250 characters; a state has 32 bytes of chance, and Xumm replaces three tags."""
    assert (250, 512, 32) == (MAX_URL, MAX_LINK, STATE_BYTES)
    assert {"id": "{id}", "cid": "{cid}", "txid": "{txid}"} == TAGS
