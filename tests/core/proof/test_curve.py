import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, derive_private_key
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from xrpl.constants import CryptoAlgorithm
from xrpl.core.keypairs import is_valid_message, sign
from xrpl.wallet import Wallet

from processor.core.proof.curve import ORDER, algorithm_of, is_signed
from tests.support.wallets import ALICE, BOB, CAROL

MESSAGE = b"STX\x00 a message"
KEY = bytes.fromhex(ALICE.public_key)
EDWARDS_ORDER = 2**252 + 27742317777372353535851937790883648493
"""Of the group that ed25519 works in. Source: RFC 8032, section 5.1."""
SIGNATURE = bytes.fromhex(sign(MESSAGE, ALICE.private_key))


def reference(message: bytes, signature: bytes, key: str) -> bool:
    """What xrpl-py says, for which a malformed signature is an error of any kind."""
    try:
        return is_valid_message(message, signature, key)
    except Exception:  # noqa: BLE001
        return False


@settings(max_examples=25, deadline=None)
@given(
    entropy=st.binary(min_size=16, max_size=16),
    algorithm=st.sampled_from(CryptoAlgorithm),
    message=st.binary(max_size=200),
    flip=st.none() | st.integers(0, 63 * 8 - 1),
)
def test_both_libraries_agree(entropy: bytes, algorithm: CryptoAlgorithm, message: bytes, flip: int | None) -> None:
    """A true signature is one to both, one with a bit changed to neither, but that xrpl-py overlooks bad encoding."""
    wallet = Wallet.from_entropy(entropy.hex(), algorithm=algorithm)
    signature = bytearray.fromhex(sign(message, wallet.private_key))
    if flip is not None:
        signature[flip // 8] ^= 1 << flip % 8
    said = is_signed(message, bytes(signature), bytes.fromhex(wallet.public_key))
    slow = reference(message, bytes(signature), wallet.public_key)

    assert (flip is None) == said
    assert said == slow or (flip is not None and flip // 8 in _encoding_bytes(signature))
    assert not is_signed(message + b"\x00", bytes(signature), bytes.fromhex(wallet.public_key))


def _encoding_bytes(der: bytes) -> set[int]:
    """Where an ECDSA signature has tags and lengths."""
    second = 4 + der[3] if der[3] < len(der) else 0
    return {0, 1, 2, 3, second, second + 1}


def test_the_other_half_of_the_curve_is_refused() -> None:
    """A signature with its high S is mathematically valid, and changes the hash of the blob: it does not count."""
    r, s = decode_dss_signature(SIGNATURE)
    malleated = encode_dss_signature(r, ORDER - s)

    assert reference(MESSAGE, malleated, ALICE.public_key)
    assert (True, False) == (is_signed(MESSAGE, SIGNATURE, KEY), is_signed(MESSAGE, malleated, KEY))


@pytest.mark.parametrize("times", [1, 2, 15])
def test_the_other_spellings_of_an_edwards_signature_are_refused(times: int) -> None:
    """S counts modulo the order of the group; only the least of its values is canonical."""
    signature = bytes.fromhex(sign(MESSAGE, BOB.private_key))
    s = int.from_bytes(signature[32:], "little") + times * EDWARDS_ORDER
    malleated = signature[:32] + s.to_bytes(32, "little")
    key = bytes.fromhex(BOB.public_key)

    assert (True, False) == (is_signed(MESSAGE, signature, key), is_signed(MESSAGE, malleated, key))


def _long_form(der: bytes) -> bytes:
    return der[:1] + b"\x81" + der[1:]


def _padded(der: bytes) -> bytes:
    r_length = der[3]
    return bytes([0x30, der[1] + 1, 0x02, r_length + 1, 0]) + der[4:]


@pytest.mark.parametrize(
    "change",
    [
        _long_form,
        _padded,
        lambda der: der + b"\x00",
        lambda der: der[:-1],
        lambda _der: b"",
        lambda _der: encode_dss_signature(0, 1),
        lambda _der: encode_dss_signature(1, 0),
        lambda _der: encode_dss_signature(ORDER, 1),
        lambda _der: bytes.fromhex("30060201FF020101"),
        lambda _der: bytes.fromhex("30060201010201FF"),
        lambda _der: b"\x30\x84\xff\xff\xff\xff",
    ],
)
def test_only_the_strict_encoding_counts(change: object) -> None:
    """Another spelling of the same numbers is no signature."""
    assert callable(change)

    assert not is_signed(MESSAGE, change(SIGNATURE), KEY)


@pytest.mark.parametrize(
    "key",
    [b"", KEY[:-1], KEY + b"\x00", b"\x04" + KEY[1:], b"\x02" + b"\xff" * 32, b"\xed" + b"\xff" * 32, b"\x00" * 33],
)
def test_what_is_no_key_signed_nothing(key: bytes) -> None:
    """Keys of a wrong length, form or place are refused without an error."""
    assert not is_signed(MESSAGE, SIGNATURE, key)


def test_a_signature_is_its_message_s_and_its_key_s() -> None:
    """Neither another message nor another key will do."""
    others = [bytes.fromhex(wallet.public_key) for wallet in (BOB, CAROL)]

    assert [False, False, False] == [
        is_signed(hashlib.sha512(MESSAGE).digest(), SIGNATURE, KEY),
        *(is_signed(MESSAGE, SIGNATURE, other) for other in others),
    ]


def test_a_key_tells_its_algorithm() -> None:
    """By its first byte and its length."""
    keys = [bytes.fromhex(wallet.public_key) for wallet in (ALICE, BOB)]

    assert ["secp256k1", "ed25519", None, None] == [algorithm_of(key) for key in (*keys, b"", b"\xed")]


@pytest.mark.parametrize(("above", "expected"), [(-1, True), (0, True), (1, False), (2, False)])
def test_the_largest_s_that_counts(above: int, *, expected: bool) -> None:
    """Half of the order, rounded down: a key is made for each signature, so that all of them are valid."""
    s, digest = ORDER // 2 + above, int.from_bytes(hashlib.sha512(MESSAGE).digest()[:32])
    r = derive_private_key(12345, SECP256K1()).public_key().public_numbers().x
    secret = (s * 12345 - digest) * pow(r, -1, ORDER) % ORDER
    key = derive_private_key(secret, SECP256K1()).public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    signature = encode_dss_signature(r, s)

    assert reference(MESSAGE, signature, key.hex().upper())
    assert expected == is_signed(MESSAGE, signature, key)


def test_order_is_that_of_the_standard() -> None:
    """As the library has it."""
    least = derive_private_key(ORDER - 1, SECP256K1()).public_key().public_numbers()
    first = derive_private_key(1, SECP256K1()).public_key().public_numbers()

    assert least.x == first.x
