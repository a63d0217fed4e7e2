"""The body that Xumm posts when a payload is signed or rejected.

The shapes are those that Xumm sends, wider than the documented ones. The fields that decide an outcome (both payload
uuids, the application, ``signed``, ``txid``) are strict; any other field becomes ``None`` when it is invalid, since a
refusal of a whole webhook over an odd expiry date would lose an outcome.

The shapes are typed dictionaries, which pydantic fills a third faster than models: every webhook is parsed with them.

Source: https://docs.xumm.dev/concepts/payloads-sign-requests/status-updates/webhooks
"""

from typing import (
    Annotated,
    Final,
    NotRequired,  # pydantic wants this one before Python 3.12
)

from pydantic import StrictBool, TypeAdapter
from typing_extensions import TypedDict

from schemas.data import Tolerant
from schemas.text import Attached, Instant, Lenient, NothingIsNone, TransactionHash, Uuid


class Meta(TypedDict):
    """Which application and payload the webhook is about."""

    application_uuidv4: Uuid
    payload_uuidv4: Uuid
    opened_by_deeplink: NotRequired[Annotated[bool | None, Lenient]]


class PayloadResponse(TypedDict):
    """The answer of the user, as far as a webhook tells."""

    payload_uuidv4: Uuid
    signed: StrictBool
    txid: NotRequired[Annotated[TransactionHash | None, NothingIsNone]]


class UserToken(TypedDict):
    """The user token issued to this user for this application. ``user_token`` is a secret."""

    user_token: NotRequired[Uuid | None]
    token_issued: NotRequired[Annotated[Instant | None, Lenient]]
    token_expiration: NotRequired[Annotated[Instant | None, Lenient]]


class Webhook(TypedDict):
    """One webhook body. The payload uuid stands in it twice; that they agree is checked when it is normalized."""

    meta: Meta
    payloadResponse: PayloadResponse
    custom_meta: NotRequired[Attached]
    userToken: NotRequired[Annotated[UserToken | None, Lenient]]


WEBHOOK: Final[TypeAdapter[Webhook]] = TypeAdapter(Webhook)
"""Parses a body: ``WEBHOOK.validate_json(body)``. Raises ``pydantic.ValidationError``, which quotes its input."""


class NamingMeta(Tolerant):
    """The part of `Meta` that names the payload."""

    application_uuidv4: Uuid
    payload_uuidv4: Uuid


class Naming(Tolerant):
    """A body of which only the part that names the payload has to be valid."""

    meta: NamingMeta
