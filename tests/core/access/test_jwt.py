import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from processor.core.access.jwt import (
    MAX_TOKEN,
    Unproven,
    algorithm_of,
    claimed_application,
    verify_identity,
    verify_xapp,
)
from tests.core.payloads import APPLICATION, SECRET
from tests.support.peer import everything_said
from tests.support.tokens import EXPECTED, NOW, claims, forged, identity, jwk, private_key, public_key, xapp
from tests.support.wallets import ALICE

KEYS = [public_key()]
OTHER_APPLICATION = "8f5b1d3a-0000-4000-8000-00000000a002"
PEM = public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def fault_of_identity(token: str, **how: Any) -> str | None:
    """Why the token proves nothing; None if it proves who Alice is."""
    try:
        proof = verify_identity(token, how.pop("keys", KEYS), EXPECTED, NOW, **how)
    except Unproven as unproven:
        return unproven.fault
    assert proof.account == ALICE.address
    return None


def fault_of_xapp(token: str, secrets: tuple[str, ...] = (SECRET,)) -> str | None:
    try:
        verify_xapp(token, secrets, EXPECTED, NOW)
    except Unproven as unproven:
        return unproven.fault
    return None


def test_token_of_the_provider_proves_an_account() -> None:
    """It has no key id, and is verified with the provider's only key."""
    token = identity()
    proof = verify_identity(token, KEYS, EXPECTED, NOW)

    assert (proof.account, proof.expires_at) == (ALICE.address, NOW + timedelta(hours=24))
    assert "kid" not in jwt.get_unverified_header(token)
    assert str(proof.user_token) not in repr(proof)


def test_provider_may_name_itself_by_its_other_host() -> None:
    """Xumm was renamed: who is asked at one host may sign as the other; any other provider has one name."""
    token = identity(iss="https://oauth2.xaman.app")

    assert fault_of_identity(token) is None
    with pytest.raises(Unproven, match="issuer"):
        verify_identity(token, KEYS, replace(EXPECTED, issuer="https://provider.example"), NOW)


def test_each_of_few_keys_is_tried() -> None:
    """While the provider changes its key there are two."""
    assert fault_of_identity(identity(), keys=[public_key("old"), public_key()]) is None
    assert fault_of_identity(identity(key="thief"), keys=[public_key("old"), public_key()]) == "signature"
    assert fault_of_identity(identity(), keys=[]) == "signature"


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"iss": None}, "issuer"),
        ({"iss": "https://oauth2.xumm.app.evil.com"}, "issuer"),
        ({"aud": None}, "audience"),
        ({"aud": OTHER_APPLICATION}, "audience"),
        ({"aud": [APPLICATION, OTHER_APPLICATION]}, "audience"),
        ({"client_id": OTHER_APPLICATION}, "audience"),
        ({"app_uuidv4": OTHER_APPLICATION}, "audience"),
        ({"client_id": None, "app_uuidv4": None}, None),
        ({"exp": None}, "expired"),
        ({"exp": NOW.timestamp() - 30}, "expired"),
        ({"exp": NOW.timestamp() - 29}, None),
        ({"exp": "tomorrow"}, "malformed"),
        ({"exp": True}, "malformed"),
        ({"exp": 1e300}, "malformed"),
        ({"exp": float("nan")}, "malformed"),
        ({"nbf": NOW.timestamp() + 31}, "not_yet_valid"),
        ({"nbf": NOW.timestamp() + 30}, None),
        ({"iat": NOW.timestamp() + 31}, "not_yet_valid"),
        ({"sub": None}, "subject"),
        ({"sub": ""}, "subject"),
        ({"sub": 7}, "subject"),
        ({"sub": f"{ALICE.address} "}, "subject"),
        ({"sub": f"{ALICE.address}\n"}, "subject"),
        ({"sub": f"{ALICE.address}\u00a0"}, "subject"),
        ({"sub": ALICE.address[:-1] + "x"}, "subject"),
        ({"sub": "XVLhHMPHU98es4dbozjVtdWzVrDjtV5kAsixQTdMjbWi39u"}, "subject"),
        ({"network_type": "TESTNET", "network_id": 1}, "network"),
        ({"network_type": "TESTNET"}, "network"),
        ({"network_id": 1}, "network"),
        ({"network_id": "0"}, None),
        ({"network_id": "null"}, None),
        ({"network_id": "undefined"}, None),
        ({"network_type": "", "network_id": "null"}, "network"),
        ({"network_id": "x"}, "network"),
        ({"network_id": True}, "network"),
        ({"network_type": None, "network_id": None}, "network"),
        ({"network_type": "mainnet"}, None),
    ],
)
def test_claims_decide(changes: dict[str, Any], fault: str | None) -> None:
    """A token that is truly signed still has to be for us, for now, for an account and for the network."""
    assert fault_of_identity(identity(**changes)) == fault


@pytest.mark.parametrize("algorithm", ["none", "None", "nOnE", "", "RS512", "PS256", "HS256", None, 7])
def test_unsigned_and_otherwise_signed_tokens_prove_nothing(algorithm: Any) -> None:
    """The kind says the algorithm, whatever the header says."""
    for secret in (None, b"", b"x"):
        token = forged({"alg": algorithm, "typ": "JWT"}, claims(), secret)
        assert fault_of_identity(token) in {"algorithm", "malformed"}
        assert fault_of_xapp(token) in {"algorithm", "malformed", "signature"}


@pytest.mark.parametrize("secret", [PEM, PEM.strip(), PEM.replace(b"\n", b""), json.dumps(jwk()).encode()])
def test_public_key_is_no_secret(secret: bytes) -> None:
    """HS256 with the text of the public key as its secret is the oldest forgery of all."""
    token = forged({"alg": "HS256"}, claims(), secret)

    assert fault_of_identity(token) == "algorithm"
    assert fault_of_identity(forged({"alg": "RS256"}, claims(), secret)) == "signature"
    assert fault_of_xapp(token) == "signature"


def test_key_in_the_header_is_ignored() -> None:
    """Otherwise everybody could bring the key that fits."""
    thief = jwk(private_key("thief").public_key())
    places = [
        {"jwk": thief},
        {"jku": "https://evil.com/certs"},
        {"x5u": "https://evil.com/cert"},
        {"x5c": ["MIIB"]},
        {"kid": "../../dev/null"},
    ]

    assert [fault_of_identity(identity(key="thief", headers=place)) for place in places] == ["signature"] * len(places)


def test_critical_extension_that_is_unknown_is_refused() -> None:
    """RFC 7515 demands it."""
    assert fault_of_identity(identity(headers={"crit": ["b64"], "b64": False})) == "malformed"
    assert fault_of_identity(identity(headers={"crit": ["exp"], "exp": 1})) == "malformed"


def test_one_kind_is_never_taken_for_the_other() -> None:
    """A token of an xApp is none of the provider, and the other way round."""
    assert fault_of_identity(xapp()) == "algorithm"
    assert fault_of_xapp(identity()) == "algorithm"


def test_xapp_token_proves_an_account() -> None:
    """Its key is the API secret as it stands, the old one for as long as it is given."""
    old = "99999999-90ab-4cde-8f01-234567890abc"

    assert verify_xapp(xapp(), [SECRET], EXPECTED, NOW).account == ALICE.address
    assert fault_of_xapp(xapp(secret=old), (SECRET, old)) is None
    assert fault_of_xapp(xapp(secret=old)) == "signature"
    assert fault_of_xapp(xapp(iss=None, aud=None, app_uuidv4=None, network_type=None, network_id=None)) is None


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"client_id": None}, "audience"),
        ({"client_id": OTHER_APPLICATION}, "audience"),
        ({"aud": OTHER_APPLICATION}, "audience"),
        ({"exp": None}, "expired"),
        ({"sub": None}, "subject"),
        ({"network_type": "TESTNET", "network_id": 1}, "network"),
    ],
)
def test_claims_of_an_xapp_decide(changes: dict[str, Any], fault: str) -> None:
    """What it does not say cannot contradict; whom it is for and who it is about must stand there."""
    assert fault_of_xapp(xapp(**changes)) == fault


@pytest.mark.parametrize("nonce", [None, "", "other"])
def test_nonce_must_be_the_one_that_was_sent(nonce: str | None) -> None:
    """A token of another signing-in proves nothing about this one."""
    assert fault_of_identity(identity(nonce=nonce), nonce="ours") == "nonce"
    assert fault_of_identity(identity(nonce="ours"), nonce="ours") is None


def test_long_token_is_refused_before_it_is_parsed() -> None:
    """A megabyte costs a look at its length: not even its first character is read."""

    class Unread(str):
        __slots__ = ()

        def __len__(self) -> int:
            return 2**20

        def __getattribute__(self, name: str) -> Any:
            raise AssertionError(f"{name} was looked at")

    assert "eyJ" in identity()
    for look in (claimed_application, algorithm_of):
        assert look(Unread()) is None
    with pytest.raises(Unproven, match="malformed"):
        verify_identity(Unread(), KEYS, EXPECTED, NOW)
    assert fault_of_identity(identity(padding="x" * MAX_TOKEN)) == "malformed"


@pytest.mark.parametrize("text", ["", ".", "..", "a.b", "a.b.c", "a.b.c.d", "é.é.é", "eyJ\n.e30.x", " " + identity()])
def test_what_is_no_token_is_refused(text: str) -> None:
    """Whatever it is."""
    assert fault_of_identity(text) == "malformed"
    assert claimed_application(text) is None


@pytest.mark.parametrize("said", [b"[]", b"7", b"{", b"\xff", b"[" * 2000, b'{"sub":' * 200])
def test_payload_that_is_no_object_is_refused(said: bytes) -> None:
    """Before and after its signature is known to be right."""
    token = jwt.api_jws.PyJWS().encode(said, private_key(), algorithm="RS256")

    assert fault_of_identity(token) == "malformed"


def test_token_says_whose_it_is() -> None:
    """Unverified: a wish, not a proof."""
    assert claimed_application(forged({"alg": "none"}, claims(), b"x")) == APPLICATION
    assert claimed_application(identity(client_id=None)) == APPLICATION
    assert claimed_application(identity(client_id=None, aud=None)) is None
    assert claimed_application(identity(client_id=["x"])) is None
    assert (algorithm_of(identity()), algorithm_of(xapp()), algorithm_of("x")) == ("RS256", "HS256", None)


@given(st.text(alphabet="abcdefgeyJ0_-.", max_size=60))
def test_no_text_breaks_the_verification(text: str) -> None:
    """It is refused with one kind of error."""
    assert fault_of_identity(text) is not None
    assert fault_of_xapp(text) is not None


@given(st.integers(min_value=0), st.integers(min_value=1, max_value=63))
def test_any_change_is_noticed(place: int, by: int) -> None:
    """Whichever character before the last is replaced, the token proves nothing."""
    token = identity()
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    at = place % (len(token) - 1)
    if token[at] == ".":
        return
    other = alphabet[(alphabet.index(token[at]) + by) % 64]
    changed = token[:at] + other + token[at + 1 :]

    assert fault_of_identity(changed) is not None


def test_error_says_nothing_of_the_token() -> None:
    """Neither by itself nor through what it hangs on to."""
    tokens = [identity(key="thief"), identity(exp=1), xapp(), forged({"alg": "none"}, claims()), "secret.of.somebody"]
    for token in tokens:
        with pytest.raises(Unproven) as caught:
            verify_identity(token, KEYS, EXPECTED, NOW)

        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        assert not any(part in everything_said(caught.value) for part in token.split(".") if len(part) > 10)
