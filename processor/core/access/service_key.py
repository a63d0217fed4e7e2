"""Keys with which other services call this one. Only their hashes are known here."""

import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

Scope = Literal["watches", "sign-requests:read", "sign-requests:write", "devices"]
PREFIX: Final = "xwp_"
"""Lets a key that leaked into a text be recognised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKey:
    """A key, with what it allows."""

    name: str
    digest: bytes = field(repr=False)
    """SHA-256 of the key."""
    scopes: frozenset[Scope]
    apps: frozenset[str] = frozenset()
    """The applications that the key is for; empty: all."""

    @classmethod
    def of(cls, name: str, sha256: str, *, scopes: Iterable[Scope], apps: Iterable[str] = ()) -> "ServiceKey":
        """The key whose hash is ``sha256``, in hexadecimal."""
        return cls(name=name, digest=bytes.fromhex(sha256), scopes=frozenset(scopes), apps=frozenset(apps))

    def covers(self, app: str) -> bool:
        """Whether the key is for this application."""
        return not self.apps or app in self.apps


def find_key(keys: Iterable[ServiceKey], presented: str) -> ServiceKey | None:
    """The key that was presented, if it is one of ``keys``. Takes the same time for each key, and for none."""
    digest, found = digest_of(presented), None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found


def digest_of(secret: str) -> bytes:
    """The SHA-256 of a secret that somebody will present: enough to recognise the secret, and nothing to present.

    A plain hash suffices for a long random secret: there is nothing to guess.
    """
    return hashlib.sha256(secret.encode()).digest()
