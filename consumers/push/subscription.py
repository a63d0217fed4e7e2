"""Web Push subscriptions as browsers make them: user input that decides whom this service connects to.

Sources: https://www.w3.org/TR/push-api/ (``PushSubscription.toJSON()``), RFC 8291 section 3.
"""

import base64
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from yarl import URL

MAX_SUBSCRIPTION: Final = 8192
"""Characters of a subscription's JSON."""
AUTH_BYTES: Final = 16
HTTPS: Final = 443
SUBDOMAINS: Final = "*."


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """What a message to one browser is encrypted with, in base64url without padding."""

    p256dh: str = field(repr=False)
    """The browser's public key: a point on P-256, uncompressed."""
    auth: str = field(repr=False)
    """16 secret bytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """Where a browser's messages go, and how they are encrypted."""

    endpoint: str = field(repr=False)
    keys: Keys


def parse(text: str, services: Iterable[str]) -> Subscription:
    """The subscription that a browser gave as JSON. Raises `ValueError`, which repeats nothing of it.

    ``services`` are the hosts that endpoints may be on, as `serves` reads them.
    """
    try:
        given = json.loads(text) if len(text) <= MAX_SUBSCRIPTION else None
    except (ValueError, RecursionError):
        given = None
    fields = given if isinstance(given, dict) else {}
    keys = fields.get("keys")
    if not isinstance(keys, dict):
        problem = "a subscription is the JSON of a browser's PushSubscription: endpoint and keys"
        raise ValueError(problem)  # noqa: TRY004  user input is wrong, not the program
    endpoint = endpoint_of(fields.get("endpoint"))
    if not serves(services, endpoint.host or ""):
        raise ValueError("the endpoint is on no push service that CONSUMERS_WEBPUSH_SERVICES names")
    return Subscription(
        endpoint=str(endpoint), keys=checked(Keys(p256dh=_text(keys, "p256dh"), auth=_text(keys, "auth")))
    )


def endpoint_of(value: object) -> URL:
    """An address that may be a push resource: https on its own port, by name, without credentials; or `ValueError`."""
    problem = "an endpoint is an https address of a push service, without port, credentials or fragment"
    try:
        url = URL(value) if isinstance(value, str) and value.isascii() and value.isprintable() else URL()
        port = url.port
    except ValueError:
        raise ValueError(problem) from None
    is_named = (
        url.host is not None and "." in url.host and not url.host.rpartition(".")[2].isdigit() and ":" not in url.host
    )
    if url.scheme != "https" or not is_named or port != HTTPS or url.user or url.password or url.fragment:
        raise ValueError(problem)
    return url


def serves(services: Iterable[str], host: str) -> bool:
    """Whether ``host`` is one of ``services``: a name, or ``*.name`` for whatever is below it."""
    return any(
        host.endswith(service[1:]) if service.startswith(SUBDOMAINS) else host == service for service in services
    )


def checked(keys: Keys) -> Keys:
    """``keys`` without padding. Raises `ValueError` if nothing can be encrypted with them."""
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), decoded(keys.p256dh))
    except ValueError:
        raise ValueError("keys.p256dh is no public key on P-256 in base64url") from None
    if len(decoded(keys.auth)) != AUTH_BYTES:
        raise ValueError(f"keys.auth is no {AUTH_BYTES} bytes in base64url")
    return Keys(p256dh=keys.p256dh.rstrip("="), auth=keys.auth.rstrip("="))


def decoded(text: str) -> bytes:
    """The bytes that base64url, padded or not, stands for. Raises `ValueError`."""
    bare = text.rstrip("=")
    return base64.b64decode(bare + "=" * (-len(bare) % 4), altchars=b"-_", validate=True)


def encoded(data: bytes) -> str:
    """``data`` in base64url without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _text(keys: dict[str, Any], name: str) -> str:
    value = keys.get(name)
    if not isinstance(value, str):
        raise ValueError(f"keys.{name} is missing")  # noqa: TRY004  user input is wrong, not the program
    return value
