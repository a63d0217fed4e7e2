"""Tickets: sealed values that this service hands out for a few minutes and takes back, so that it stores nothing.

A ticket can be made and read only with an application's API secret, which only Xumm and the instances of this service
have. It is bound to the application and to its purpose. The caller of `unseal` sees to it that a ticket counts once.

Source: https://www.rfc-editor.org/rfc/rfc5116#section-5.2
"""

import hmac
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from schemas.base64url import decode, encode

Purpose = Literal["state", "code"]

NONCE_BYTES: Final = 12
MAX_TICKET: Final = 2048
"""Characters."""
_TICKET: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\.[A-Za-z0-9_-]+", re.ASCII)
_SCHEME: Final = "xumm-processor/ticket/1"


def application_of(ticket: str) -> str | None:
    """The name of the application that a ticket claims to be for; None if ``ticket`` is none."""
    if len(ticket) > MAX_TICKET or not _TICKET.fullmatch(ticket):
        return None
    return ticket.partition(".")[0]


def seal(app: str, purpose: Purpose, secret: bytes, content: Mapping[str, Any], nonce: bytes) -> str:
    """The ticket, as text for a URL. ``nonce``: `NONCE_BYTES` random bytes that were never used before."""
    text = json.dumps(content, separators=(",", ":")).encode()
    box = _cipher(app, purpose, secret).encrypt(nonce, text, None)
    return f"{app}.{encode(nonce + box)}"


def unseal(ticket: str, app: str, purpose: Purpose, secrets: Sequence[bytes]) -> dict[str, Any] | None:
    """The content that was sealed with one of ``secrets``; None if it was not, was changed, or has another purpose."""
    if application_of(ticket) != app:
        return None
    sealed = ticket.partition(".")[2]
    try:
        box = decode(sealed)
    except ValueError:
        return None
    for secret in secrets:
        try:
            text = _cipher(app, purpose, secret).decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], None)
        except (InvalidTag, ValueError):
            continue
        content: dict[str, Any] = json.loads(text)
        return content
    return None


def _cipher(app: str, purpose: Purpose, secret: bytes) -> AESGCM:
    """One key for each application and purpose, so that none opens the ticket of another."""
    return AESGCM(hmac.digest(secret, f"{_SCHEME}/{purpose}/{app}".encode(), "sha256"))
