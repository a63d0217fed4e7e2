"""The validity of a signature by the rules of the XRP Ledger, which are stricter than those of the curves.

An ECDSA signature is valid only in its canonical form: strict DER, and the lower one of the two values of S. Otherwise
anybody could change a signed blob, and with it the transaction's hash, without the key.

Source: https://xrpl.org/docs/concepts/transactions/finality-of-results/transaction-malleability
"""

import hashlib
from typing import Final, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256K1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

Algorithm = Literal["secp256k1", "ed25519"]

ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141
"""The order of the group of secp256k1. Source: SEC 2, section 2.4.1."""

_KEY_BYTES: Final = 33
_ALGORITHMS: Final[dict[int, Algorithm]] = {0x02: "secp256k1", 0x03: "secp256k1", 0xED: "ed25519"}
_half_of_sha512: Final = ECDSA(Prehashed(SHA256()))
"""The digest is the first half of SHA-512, which is as long as one of SHA-256."""


def algorithm_of(key: bytes) -> Algorithm | None:
    """The algorithm of a public key, by its first byte; None if ``key`` is none."""
    return _ALGORITHMS.get(key[0]) if len(key) == _KEY_BYTES else None


def is_signed(message: bytes, signature: bytes, key: bytes) -> bool:
    """Whether ``signature`` is a canonical signature of ``message`` that verifies with the public ``key``."""
    try:
        match algorithm_of(key):
            case "secp256k1":
                return _is_canonical(signature) and _verify_ecdsa(message, signature, key)
            case "ed25519":
                Ed25519PublicKey.from_public_bytes(key[1:]).verify(signature, message)
                return True
    except (InvalidSignature, ValueError):
        pass
    return False


def _is_canonical(signature: bytes) -> bool:
    """Whether S is low. The library accepts strict DER only, and no R or S outside of 1 to the order less 1."""
    _, s = decode_dss_signature(signature)
    return s <= ORDER // 2


def _verify_ecdsa(message: bytes, signature: bytes, key: bytes) -> bool:
    digest = hashlib.sha512(message).digest()[:32]
    EllipticCurvePublicKey.from_encoded_point(SECP256K1(), key).verify(signature, digest, _half_of_sha512)
    return True
