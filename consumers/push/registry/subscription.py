"""Web Push subscriptions as browsers make them: user input that decides whom this service connects to.

Sources: https://www.w3.org/TR/push-api/ (``PushSubscription.toJSON()``), RFC 8291 section 3.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from yarl import URL

from schemas.base64url import decoded, encoded

MAX_SUBSCRIPTION: Final = 8192
"""Characters of a subscription's JSON."""
AUTH_BYTES: Final = 16
POINT_BYTES: Final = 65
"""Of an uncompressed point."""
SUBDOMAINS: Final = "*."

_endpoint = re.compile(r"https://(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]*/[!\"$-~]*")


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
        endpoint=fields["endpoint"], keys=checked(Keys(p256dh=_text(keys, "p256dh"), auth=_text(keys, "auth")))
    )


def endpoint_of(value: object) -> URL:
    """An address that may be a push resource: https, a host by name, neither port nor credentials; or `ValueError`.

    It is kept as it was given: what a service reads from it is the service's own.
    """
    if not isinstance(value, str) or not _endpoint.fullmatch(value):
        raise ValueError("an endpoint is an https address of a push service, without port, credentials or fragment")
    return URL(value, encoded=True)


def serves(services: Iterable[str], host: str) -> bool:
    """Whether ``host`` is one of ``services``: a name, or ``*.name`` for whatever is below it."""
    return any(
        host.endswith(service[1:]) if service.startswith(SUBDOMAINS) else host == service for service in services
    )


def checked(keys: Keys) -> Keys:
    """``keys`` without padding. Raises `ValueError` if nothing can be encrypted with them."""
    try:
        point = decoded(keys.p256dh)
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), point)
    except ValueError:
        point = b""
    if len(point) != POINT_BYTES:
        raise ValueError("keys.p256dh is no uncompressed public key on P-256 in base64url")
    try:
        auth = decoded(keys.auth)
    except ValueError:
        auth = b""
    if len(auth) != AUTH_BYTES:
        raise ValueError(f"keys.auth is no {AUTH_BYTES} bytes in base64url")
    return Keys(p256dh=encoded(point), auth=encoded(auth))


def _text(keys: dict[str, Any], name: str) -> str:
    value = keys.get(name)
    if not isinstance(value, str):
        raise ValueError(f"keys.{name} is missing")  # noqa: TRY004  user input is wrong, not the program
    return value
