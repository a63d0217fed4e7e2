"""Parses the Web Push subscriptions of browsers: user input that decides which hosts the consumer connects to.

Sources: https://www.w3.org/TR/push-api/ (``PushSubscription.toJSON()``), RFC 8291 section 3.
"""

import json
import re
from collections.abc import Iterable
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from pydantic import ValidationError
from yarl import URL

from schemas.base64url import decode
from schemas.devices import Keys, Subscription

MAX_SUBSCRIPTION: Final = 8192
"""Characters of a subscription's JSON."""
_FORMS: Final = {"p256dh": "an uncompressed public key on P-256", "auth": "16 bytes"}
SUBDOMAINS: Final = "*."

_endpoint = re.compile(r"https://(?:[a-z0-9-]+\.)+[a-z][a-z0-9-]*/[!\"$-~]*")


def parse(text: str, services: Iterable[str]) -> Subscription:
    """Parse the JSON of a browser's subscription. Raises `ValueError`, which repeats nothing of ``text``.

    The endpoint must be on one of ``services``, by `allows`.
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
    check_service(fields.get("endpoint"), services)
    return Subscription.model_construct(endpoint=fields["endpoint"], keys=_parse_keys(keys))


def parse_endpoint(value: object) -> URL:
    """Parse an endpoint: https, a host by name, no port, no credentials. Raises `ValueError`.

    The URL is not normalized: its path means something to the push service alone.
    """
    if not isinstance(value, str) or not _endpoint.fullmatch(value):
        raise ValueError("an endpoint is an https address of a push service, without port, credentials or fragment")
    return URL(value, encoded=True)


def check_service(endpoint: object, services: Iterable[str]) -> None:
    """Raises `ValueError` if ``endpoint`` is none, by `parse_endpoint`, or not on one of ``services``."""
    if not allows(services, parse_endpoint(endpoint).host or ""):
        raise ValueError("the endpoint is on no push service that CONSUMERS_WEBPUSH_SERVICES names")


def allows(services: Iterable[str], host: str) -> bool:
    """Whether ``host`` is one of ``services``: a name, or ``*.name`` for every name below it."""
    return any(
        host.endswith(service[1:]) if service.startswith(SUBDOMAINS) else host == service for service in services
    )


def check_point(keys: Keys) -> None:
    """Raises `ValueError` if nothing can be encrypted with ``keys``: their point is not on the curve."""
    try:
        EllipticCurvePublicKey.from_encoded_point(SECP256R1(), decode(keys.p256dh))
    except ValueError:
        raise ValueError("keys.p256dh is not a public key on P-256") from None


def _parse_keys(fields: dict[str, Any]) -> Keys:
    try:
        return Keys.model_validate(fields)
    except ValidationError as error:
        name = error.errors(include_input=False)[0]["loc"][0]
        raise ValueError(f"keys.{name} is missing, or is not {_FORMS[str(name)]} in base64url") from None
