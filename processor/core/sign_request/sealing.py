"""Sealing of user tokens at rest: AES-256-GCM, bound to application, user and account.

A token that is copied to the row of another application, user or account cannot be opened there. Each sealed token
names its key, so that keys can be rotated: the first key seals, and every key opens.

Source: https://nvlpubs.nist.gov/nistpubs/Legacy/SP/nistspecialpublication800-38d.pdf
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from processor.core.errors import SealBroken, UnknownSealingKey

KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
"""The nonce is random, as in section 8.2.2 of the source: one key can then seal 2³² tokens safely."""
_PURPOSE: Final = "xumm-processor/user-token/1"
_ID_DIGITS: Final = 12
_SEPARATOR: Final = "\x1f"
"""Occurs in no name, uuid or address."""


class TokenBinding(NamedTuple):
    """What a sealed token is bound to: authenticated, not encrypted."""

    application_uuid: str
    """Xumm's uuid of the application."""
    user: str
    """The opaque reference."""
    account: str | None = None
    """None until the account is proven: a webhook names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingKey:
    """One key. Its id is derived from it, so that keys need no numbers, and reveals nothing of it."""

    secret: bytes = field(repr=False)
    id: str

    @classmethod
    def of(cls, secret: bytes) -> "SealingKey":
        """A key of `KEY_BYTES` bytes. Raises ``ValueError`` for any other length."""
        if len(secret) != KEY_BYTES:
            raise ValueError(f"a sealing key has {KEY_BYTES} bytes")
        return cls(secret=secret, id=hashlib.sha256(_PURPOSE.encode() + secret).hexdigest()[:_ID_DIGITS])


class Sealed(NamedTuple):
    """A sealed token."""

    key_id: str
    box: bytes
    """Nonce, then ciphertext with its tag."""


class Keyring:
    """The configured keys, the active one first."""

    def __init__(self, keys: Iterable[SealingKey]) -> None:
        """``keys`` must not be empty."""
        self._ciphers = {key.id: AESGCM(key.secret) for key in keys}
        self.active = next(iter(self._ciphers))
        """The id of the key that seals."""

    def __repr__(self) -> str:
        """The ids alone."""
        return f"Keyring({', '.join(self._ciphers)})"

    def seal(self, token: str, binding: TokenBinding, nonce: bytes) -> Sealed:
        """Seal ``token`` with the active key. ``nonce``: `NONCE_BYTES` random bytes that were never used before."""
        ciphertext = self._ciphers[self.active].encrypt(nonce, token.encode(), _bound(binding, self.active))
        return Sealed(self.active, nonce + ciphertext)

    def open(self, sealed: Sealed, binding: TokenBinding) -> str:
        """Open a sealed token. Raises `UnknownSealingKey` or `SealBroken`."""
        cipher = self._ciphers.get(sealed.key_id)
        if cipher is None:
            raise UnknownSealingKey(f"no sealing key {sealed.key_id} is configured")
        nonce, ciphertext = sealed.box[:NONCE_BYTES], sealed.box[NONCE_BYTES:]
        try:
            return cipher.decrypt(nonce, ciphertext, _bound(binding, sealed.key_id)).decode()
        except (InvalidTag, ValueError):
            raise SealBroken(f"a token sealed with key {sealed.key_id} was changed, or is somebody else's") from None


def _bound(binding: TokenBinding, key_id: str) -> bytes:
    parts = (_PURPOSE, key_id, binding.application_uuid, binding.user, binding.account or "")
    return _SEPARATOR.join(parts).encode()
