"""Base64url without padding, for tokens, keys and hashes in URLs and JSON.

Source: https://www.rfc-editor.org/rfc/rfc4648#section-5
"""

import base64


def encode(content: bytes) -> str:
    """``content`` as text that needs no escapes in URLs and JSON."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decode(text: str) -> bytes:
    """The bytes in ``text``, which may be padded. Raises `ValueError` for any other character."""
    bare = text.rstrip("=")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
