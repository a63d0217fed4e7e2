"""The public keys of Xumm's OAuth2 provider, out of the JSON in which it publishes them.

Source: https://www.rfc-editor.org/rfc/rfc7517 and https://www.rfc-editor.org/rfc/rfc7518#section-6.3
"""

import re
from collections.abc import Mapping
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from processor.core.errors import NormalizeError
from schemas.base64url import decode

MAX_ENTRIES: Final = 16
"""Keys of a set. Each may be tried on each token, so a set of thousands is refused."""
MIN_BITS: Final = 2048
MAX_BITS: Final = 8192

_EXPONENTS: Final = range(65537, 2**32)
_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]{1,1400}", re.ASCII)


def parse_jwks(document: Mapping[str, Any] | None) -> tuple[RSAPublicKey, ...]:
    """The keys that may verify RS256, in order. Raises `NormalizeError` if there are none, or too many."""
    entries = (document or {}).get("keys")
    if not isinstance(entries, list) or not 0 < len(entries) <= MAX_ENTRIES:
        raise NormalizeError(f"keys: not a list of 1 to {MAX_ENTRIES}")
    found = tuple(key for entry in entries if (key := _key_of(entry)) is not None)
    if not found:
        raise NormalizeError(f"keys: none is an RSA key for RS256 of at least {MIN_BITS} bits")
    return found


def _key_of(entry: Any) -> RSAPublicKey | None:
    if not isinstance(entry, Mapping) or entry.get("kty") != "RSA":
        return None
    if entry.get("use", "sig") != "sig" or entry.get("alg", "RS256") != "RS256":
        return None
    modulus, exponent = _number(entry.get("n")), _number(entry.get("e"))
    if not MIN_BITS <= modulus.bit_length() <= MAX_BITS or exponent not in _EXPONENTS:
        return None
    try:
        return RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        return None


def _number(text: Any) -> int:
    """The number; 0 if ``text`` is none."""
    if not isinstance(text, str) or not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        return 0
    return int.from_bytes(decode(text))
