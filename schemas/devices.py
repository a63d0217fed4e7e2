"""The shapes of push devices that the HTTP interface and the commands share.

Sources: RFC 5646 section 2.1 (languages), RFC 8291 section 3 and https://www.w3.org/TR/push-api/ (subscriptions),
https://developer.apple.com/documentation/usernotifications (device tokens are binary and of variable length).
"""

import hashlib
import re
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, StringConstraints
from pydantic_core import PydanticCustomError

from schemas.base64url import decode

Channel = Literal["fcm", "apns", "webpush"]
Platform = Literal["android", "ios", "web"]

MAX_ENDPOINT: Final = 2048
POINT_BYTES: Final = 65
"""The size of an uncompressed point on P-256."""
AUTH_BYTES: Final = 16
_UNCOMPRESSED: Final = 0x04
PRIVATE_DOMAINS: Final = frozenset(
    {"alt", "arpa", "corp", "example", "home", "internal", "intranet", "invalid", "lan", "local", "localdomain"}
    | {"localhost", "mail", "onion", "private", "test"}
)
"""Last labels of names that are not public: RFC 6761, 6762, 7686, 8375, 9476, and usage in private networks."""

_hexadecimal: Final = re.compile(r"(?:[0-9a-fA-F]{2}){16,100}")
_endpoint: Final = re.compile(r"https://((?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]*)/[!\"$-~]*")

Token = Annotated[str, StringConstraints(min_length=1, max_length=4096, pattern=r"^[!-~]+$")]
"""Visible ASCII."""
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""SHA-256 in hexadecimal."""
Locale = Annotated[
    str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,3}(?:-[A-Za-z]{4})?(?:-(?:[A-Za-z]{2}|[0-9]{3}))?$")
]
"""A language, optionally with script and region, such as ``de-CH``."""


def digest_of_token(token: str) -> str:
    """The SHA-256 of a device's token in hexadecimal, which names the device in keys, notes and commands.

    A hexadecimal token, such as those of APNs, has the same digest in either case: apps write both.
    """
    plain = token.lower() if _hexadecimal.fullmatch(token) else token
    return hashlib.sha256(plain.encode()).hexdigest()


def _public(endpoint: str) -> str:
    found = _endpoint.fullmatch(endpoint)
    if found is None:
        raise PydanticCustomError("endpoint_malformed", "not an https URL without port, credentials or fragment")
    if found[1].rpartition(".")[2] in PRIVATE_DOMAINS:
        raise PydanticCustomError("endpoint_not_public", "the host is not public")
    return endpoint


def _bare(text: str) -> str:
    """Base64url without padding. Raises `PydanticCustomError`."""
    bare = text.rstrip("=")
    try:
        decode(bare)
    except ValueError:
        raise PydanticCustomError("base64url_malformed", "not base64url") from None
    return bare


def _point(text: str) -> str:
    bare = _bare(text)
    found = decode(bare)
    if len(found) != POINT_BYTES or found[0] != _UNCOMPRESSED:
        raise PydanticCustomError("point_malformed", "not an uncompressed point on P-256")
    return bare


def _secret(text: str) -> str:
    bare = _bare(text)
    if len(decode(bare)) != AUTH_BYTES:
        raise PydanticCustomError("auth_malformed", "not 16 bytes")
    return bare


Endpoint = Annotated[str, StringConstraints(max_length=MAX_ENDPOINT), AfterValidator(_public)]
"""The URL for messages to a browser: https, a public host name, without port, credentials or fragment."""


class Keys(BaseModel):
    """The keys that encrypt a message to one browser, in base64url; padding is dropped."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True, hide_input_in_errors=True)

    p256dh: Annotated[str, StringConstraints(max_length=96), AfterValidator(_point)]
    """The browser's public key: a point on P-256, uncompressed, 65 bytes."""
    auth: Annotated[str, StringConstraints(max_length=32), AfterValidator(_secret)]
    """16 secret bytes."""

    def __repr__(self) -> str:
        return "Keys(…)"

    __str__ = __repr__


class Subscription(BaseModel):
    """The ``PushSubscription`` of a browser; other members are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True, hide_input_in_errors=True)

    endpoint: Endpoint
    keys: Keys

    def __repr__(self) -> str:
        return "Subscription(…)"

    __str__ = __repr__
