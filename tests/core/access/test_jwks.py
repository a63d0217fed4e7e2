from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from processor.core.access.jwks import MAX_ENTRIES, parse_jwks
from processor.core.errors import NormalizeError
from tests.support.tokens import encoded, jwk, public_key


def numbers(*entries: Any) -> list[RSAPublicNumbers]:
    return [key.public_numbers() for key in parse_jwks({"keys": list(entries)})]


def test_keys_without_id_are_read_in_order() -> None:
    """Xumm's has no ``kid``; use and algorithm may be missing, too."""
    expected = [public_key().public_numbers(), public_key("old").public_numbers()]

    assert numbers(jwk(), jwk(public_key("old"), use=None, alg=None)) == expected


def modulus(bits: int) -> str:
    return encoded((2**bits - 1).to_bytes((bits + 7) // 8))


@pytest.mark.parametrize(
    "entry",
    [
        jwk(kty="EC"),
        jwk(kty="oct", k="c2VjcmV0"),
        jwk(use="enc"),
        jwk(alg="RS512"),
        jwk(alg="HS256"),
        jwk(n=modulus(2047)),
        jwk(n=modulus(8193)),
        jwk(n=None),
        jwk(n=7),
        jwk(n="é" * 400),
        jwk(n="A" * 100_000),
        jwk(n=modulus(2048)[:-1]),
        jwk(e="AQ"),
        jwk(e="Aw"),
        jwk(e=encoded(b"\xff" * 5)),
        jwk(e=encoded((65538).to_bytes(3))),
        None,
        7,
        [],
        {},
    ],
)
def test_unfit_keys_are_left_out(entry: Any) -> None:
    """One that is short, or for another use, verifies nothing; the fit ones beside it do."""
    assert numbers(entry, jwk()) == [public_key().public_numbers()]


@pytest.mark.parametrize(
    "document", [None, {}, {"keys": []}, {"keys": {}}, {"keys": [jwk(use="enc")]}, {"keys": [jwk()] * 10_000}]
)
def test_senseless_sets_are_refused(document: Any) -> None:
    """None is no set, and ten thousand are an attack."""
    with pytest.raises(NormalizeError, match="keys"):
        parse_jwks(document)


def test_as_many_keys_as_anybody_needs() -> None:
    """The bound is what it says."""
    assert len(numbers(*[jwk()] * MAX_ENTRIES)) == MAX_ENTRIES
    with pytest.raises(NormalizeError):
        numbers(*[jwk()] * (MAX_ENTRIES + 1))
