"""The signature that Xumm puts on a webhook.

It is the hex HMAC-SHA1 of the timestamp header followed by the raw body, keyed with the API secret from which only the
**first** dash is removed, since the sender is JavaScript and calls ``secret.replace('-', '')``.

Source: https://docs.xumm.dev/concepts/payloads-sign-requests/status-updates/webhooks/signature-verification
"""

import hmac
from collections.abc import Iterable
from typing import Final

HEADER_SIGNATURE: Final = "x-xumm-request-signature"
HEADER_TIMESTAMP: Final = "x-xumm-request-timestamp"
HEX_DIGITS: Final = 40


def key_of(secret: str) -> bytes:
    """The HMAC key of an API secret."""
    return secret.replace("-", "", 1).encode()


def sign(key: bytes, timestamp: str, body: bytes) -> str:
    """The signature, 40 lower-case hex digits, that Xumm would send for ``body`` at ``timestamp`` (Unix seconds)."""
    return hmac.digest(key, timestamp.encode() + body, "sha1").hex()


def matches(keys: Iterable[bytes], timestamp: str, body: bytes, signature: bytes) -> bool:
    """Whether one of ``keys`` made the 20 raw bytes of ``signature``. Takes the same time whichever did, or none."""
    message = timestamp.encode() + body
    found = False
    for key in keys:
        found |= hmac.compare_digest(hmac.digest(key, message, "sha1"), signature)
    return found
