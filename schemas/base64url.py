"""Base64url without padding, in which tokens, keys and hashes stand in addresses and JSON.

Source: https://www.rfc-editor.org/rfc/rfc4648#section-5
"""

import base64


def encoded(content: bytes) -> str:
    """``content`` as text that needs no escapes anywhere."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """The bytes that ``text``, padded or not, stands for. Raises `ValueError` for any other character."""
    bare = text.rstrip("=")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)
