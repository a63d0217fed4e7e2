"""Keys of services that may ask this one for something. Only their hashes are known here."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

from processor.core.access.digest import digest_of

Scope = Literal["watches", "sign-requests:read", "sign-requests:write", "devices"]
PREFIX: Final = "xwp_"
"""So that a key that leaked into a text is recognised as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceKey:
    """What a key may do."""

    name: str
    digest: bytes = field(repr=False)
    """SHA-256 of the key."""
    scopes: frozenset[Scope]
    apps: frozenset[str] = frozenset()
    """The applications that it is for; empty: all."""

    @classmethod
    def of(cls, name: str, sha256: str, *, scopes: Iterable[Scope], apps: Iterable[str] = ()) -> "ServiceKey":
        """The key whose hash is ``sha256``, in hexadecimal."""
        return cls(name=name, digest=bytes.fromhex(sha256), scopes=frozenset(scopes), apps=frozenset(apps))

    def covers(self, app: str) -> bool:
        """Whether the key is for this application."""
        return not self.apps or app in self.apps


def find_key(keys: Iterable[ServiceKey], presented: str) -> ServiceKey | None:
    """The key that was presented. Takes as long whichever it is, and if it is none."""
    digest, found = digest_of(presented), None
    for key in keys:
        if hmac.compare_digest(key.digest, digest):
            found = key
    return found
