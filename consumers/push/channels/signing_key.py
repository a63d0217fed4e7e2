"""The private key that identifies the operator to a provider: ECDSA on P-256, for APNs (``.p8``) and VAPID."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from consumers.runtime.errors import ConsumerError

ALGORITHM: Final = "ES256"


class SigningKey:
    """Signs JSON Web Tokens with ES256 (RFC 7518 section 3.4)."""

    def __init__(self, key: EllipticCurvePrivateKey) -> None:
        self._key = key

    @classmethod
    def read(cls, path: Path, *, setting: str) -> Self:
        """Read the key from a PEM file. Raises `ConsumerError`, which names ``setting``."""
        try:
            key = load_pem_private_key(path.read_bytes(), password=None)
        except (OSError, ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConsumerError(f"{setting}: {path} cannot be read: {type(error).__name__}") from None
        if not isinstance(key, EllipticCurvePrivateKey) or not isinstance(key.curve, SECP256R1):
            raise ConsumerError(f"{setting}: {path} holds no private key on P-256")
        return cls(key)

    @property
    def public_point(self) -> bytes:
        """The public key, uncompressed: 65 bytes."""
        return self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    def sign(self, claims: Mapping[str, Any], **headers: str) -> str:
        """A token of these claims, with ``headers`` beside ``alg`` and ``typ``."""
        return jwt.encode(dict(claims), self._key, algorithm=ALGORITHM, headers=headers)
