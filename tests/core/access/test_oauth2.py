"""Signing in through Xumm's OAuth2 provider, as decisions."""

from dataclasses import asdict, replace
from datetime import timedelta
from typing import Any

import pytest

from processor.core.access.jwt import Expected
from processor.core.access.oauth2 import (
    CODE_TTL,
    STATE_TTL,
    Client,
    ClientSecret,
    CompletedSignIn,
    PendingSignIn,
    authorization_query,
    challenge_of,
    failure_of,
    is_challenge,
    is_code,
    matches_challenge,
    redemption_form,
)
from tests.core.payloads import ACCOUNT, APPLICATION, NOW, SECRET

LINK = "shopapp://signed-in"
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
"""The pair of RFC 7636, appendix B."""
CLIENT = Client(
    app="shop",
    api_key=APPLICATION,
    secrets=(ClientSecret(text=SECRET), ClientSecret(text="old", not_after=NOW)),
    network="TESTNET",
    provider="https://oauth2.example",
    deep_links=frozenset({LINK}),
)
EXPIRY = int(NOW.timestamp()) + 600
BEGUN = PendingSignIn(id="1", return_url=LINK, challenge=CHALLENGE, verifier=VERIFIER, nonce="n", expires_at=EXPIRY)
GRANTED = CompletedSignIn(id="1", account=ACCOUNT, user="u", challenge=CHALLENGE, expires_at=EXPIRY)
SECOND = timedelta(seconds=1)


def test_times() -> None:
    """A user has ten minutes to sign in, the app one to redeem its code."""
    assert (timedelta(minutes=10), timedelta(minutes=1)) == (STATE_TTL, CODE_TTL)


def test_client() -> None:
    """The first secret is the current one; tokens must be of the application, its network and its provider."""
    expected = Expected(api_key=APPLICATION, network="TESTNET", issuer="https://oauth2.example")

    assert (SECRET, expected) == (CLIENT.secret, CLIENT.expected)


def test_client_allows_nothing_by_default() -> None:
    """Unless its operator says so, nobody is sent back, and no xApp's token is taken."""
    bare = Client(app="shop", api_key=APPLICATION, secrets=(), network="MAINNET", provider="https://oauth2.example")

    assert (frozenset(), False) == (bare.deep_links, bare.xapp_tokens)


def test_secrets_are_valid_until_their_end() -> None:
    """An old secret counts up to its last moment, and then no longer; the current one always."""
    assert [SECRET, "old"] == CLIENT.secrets_at(NOW - SECOND)
    assert [SECRET] == CLIENT.secrets_at(NOW)
    assert [SECRET] == CLIENT.secrets_at(NOW + SECOND)


def test_no_secret_is_shown() -> None:
    """Neither API secrets nor our verifier stand in a representation."""
    text = f"{CLIENT!r} {BEGUN!r}"

    assert not any(secret in text for secret in (SECRET, "old", VERIFIER))


@pytest.mark.parametrize(
    ("client", "left", "expected"),
    [
        (CLIENT, timedelta(minutes=10), BEGUN),
        (CLIENT, SECOND, BEGUN),
        (CLIENT, timedelta(0), None),
        (CLIENT, -SECOND, None),
        (replace(CLIENT, deep_links=frozenset({"shopapp://other"})), SECOND, None),
        (replace(CLIENT, deep_links=frozenset()), SECOND, None),
    ],
)
def test_sign_in_goes_on_while_it_may(client: Client, left: timedelta, expected: PendingSignIn | None) -> None:
    """What a ticket held comes back until its time is over, if the operator still allows where it leads."""
    assert expected == PendingSignIn.of(asdict(BEGUN), client, NOW + timedelta(minutes=10) - left)


@pytest.mark.parametrize(("left", "expected"), [(SECOND, GRANTED), (timedelta(0), None), (-SECOND, None)])
def test_code_is_good_until_its_time_is_over(left: timedelta, expected: CompletedSignIn | None) -> None:
    """What a ticket held comes back, and not after that."""
    assert expected == CompletedSignIn.of(asdict(GRANTED), NOW + timedelta(minutes=10) - left)


def test_tickets_hold_plain_values() -> None:
    """What is sealed can be written as JSON."""
    common = {"id": "1", "challenge": CHALLENGE, "expires_at": EXPIRY}

    assert common | {"return_url": LINK, "verifier": VERIFIER, "nonce": "n"} == asdict(BEGUN)
    assert common | {"account": ACCOUNT, "user": "u"} == asdict(GRANTED)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (CHALLENGE, True),
        ("-_" + "A" * 41, True),
        ("A" * 42, False),
        ("A" * 44, False),
        ("A" * 42 + "=", False),
        ("A" * 42 + "é", False),
        (CHALLENGE + "\n", False),
        ("", False),
    ],
)
def test_challenge_is_a_sha256_in_base64url(text: str, *, expected: bool) -> None:
    """43 characters, and no other form."""
    assert expected == is_challenge(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x", True),
        ("!~", True),
        ("x" * 1024, True),
        ("x" * 1025, False),
        ("", False),
        ("x y", False),
        ("x\x7f", False),
        ("é", False),
    ],
)
def test_code_of_the_provider(text: str, *, expected: bool) -> None:
    """1 to 1,024 visible ASCII characters."""
    assert expected == is_code(text)


def test_challenge_of_the_rfc() -> None:
    """Apps that follow RFC 7636 are understood."""
    assert CHALLENGE == challenge_of(VERIFIER)
    assert matches_challenge(VERIFIER, CHALLENGE)


@pytest.mark.parametrize(
    ("verifier", "expected"),
    [
        ("a" * 43, True),
        ("a" * 128, True),
        ("A-._~" * 9, True),
        ("a" * 42, False),
        ("a" * 129, False),
        ("a" * 42 + "!", False),
        ("a" * 42 + "é", False),
    ],
)
def test_verifier_has_the_form_of_the_rfc(verifier: str, *, expected: bool) -> None:
    """43 to 128 characters that need no escapes: what is easily guessed answers no challenge, though it is of it."""
    assert expected == matches_challenge(verifier, challenge_of(verifier))


def test_verifier_of_another_challenge_answers_nothing() -> None:
    """Who did not begin the sign-in cannot end it."""
    assert not matches_challenge(VERIFIER, challenge_of("a" * 43))
    assert not matches_challenge(VERIFIER, "é")


def test_query_for_the_provider() -> None:
    """The browser takes along what OpenID Connect and PKCE call for."""
    expected = {
        "client_id": APPLICATION,
        "redirect_uri": "https://we.example/back",
        "response_type": "code",
        "scope": "openid",
        "state": "ticket",
        "nonce": "n",
        "code_challenge": CHALLENGE,
        "code_challenge_method": "S256",
    }

    assert expected == authorization_query(CLIENT, BEGUN, "ticket", "https://we.example/back")


def test_form_for_the_provider() -> None:
    """The code is exchanged with the current secret and our verifier."""
    expected = {
        "grant_type": "authorization_code",
        "code": "c",
        "redirect_uri": "https://we.example/back",
        "client_id": APPLICATION,
        "client_secret": SECRET,
        "code_verifier": VERIFIER,
    }

    assert expected == redemption_form(CLIENT, BEGUN, "c", "https://we.example/back")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("access_denied", "access_denied"),
        ("temporarily_unavailable", "temporarily_unavailable"),
        ("invalid_scope", "server_error"),
        ("", "server_error"),
    ],
)
def test_app_hears_what_is_its_business(error: str, expected: Any) -> None:
    """That the user said no, or that the provider is away; all else is an error of the service."""
    assert expected == failure_of(error)
