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


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (None, "keys: not a list of 1 to 16"),
        ({"keys": []}, "keys: not a list of 1 to 16"),
        ({"keys": [jwk()] * 17}, "keys: not a list of 1 to 16"),
        ({"keys": [None]}, "keys: none is an RSA key for RS256 of at least 2048 bits"),
    ],
)
def test_refusal_names_the_limit(document: Any, message: str) -> None:
    """An operator reads what was wrong."""
    with pytest.raises(NormalizeError) as caught:
        parse_jwks(document)

    assert message == str(caught.value)


@pytest.mark.parametrize("bits", [2048, 8192])
def test_smallest_and_largest_key(bits: int) -> None:
    """Both bounds are included, and so is the largest exponent."""
    entry = jwk(n=modulus(bits), e=encoded((2**32 - 1).to_bytes(4)))

    assert [RSAPublicNumbers(2**32 - 1, 2**bits - 1)] == numbers(entry)


@pytest.mark.parametrize(("kept", "is_read"), [(1, False), (2, True), (3, True), (4, True)])
def test_base64url_of_any_length_but_one(kept: int, *, is_read: bool) -> None:
    """What is one character over a multiple of four is no base64url."""
    text = modulus(4096)[: 680 + kept]

    assert (2 if is_read else 1) == len(numbers(jwk(n=text[:-1] + "w"), jwk()))


def test_longest_number() -> None:
    """1,400 characters are decoded, leading zeros among them; a longer text is not."""
    padded = [encoded((2**2048 - 1).to_bytes(length)) for length in (1050, 1051)]

    assert [1400, 1402] == [len(text) for text in padded]
    assert [2**2048 - 1, public_key().public_numbers().n] == [
        key.n for key in numbers(jwk(n=padded[0]), jwk(n=padded[1]), jwk())
    ]
