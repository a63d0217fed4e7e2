"""The body that Xumm posts when a payload is signed or rejected.

Shapes are those really seen, wider than the documented ones. What decides an outcome (both payload uuids, the
application, ``signed``, ``txid``) is strict; what merely accompanies it turns into ``None`` when it makes no sense,
since refusing a whole webhook over an odd expiry date would lose an outcome.

Source: https://docs.xumm.dev/concepts/payloads-sign-requests/status-updates/webhooks
"""

from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
)

from schemas.text import CustomMeta, Instant, Lenient, TransactionHash, Uuid


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Meta(_Wire):
    """Which application and payload the webhook is about."""

    application_uuidv4: Uuid
    payload_uuidv4: Uuid
    opened_by_deeplink: Annotated[bool | None, Lenient] = None


class PayloadResponse(_Wire):
    """How the payload ended, as far as a webhook tells."""

    payload_uuidv4: Uuid
    signed: StrictBool
    txid: TransactionHash | None = None


class UserToken(_Wire):
    """The user token issued to this user for this application. ``user_token`` is a secret."""

    user_token: Uuid | None = Field(default=None, repr=False)
    token_issued: Annotated[Instant | None, Lenient] = None
    token_expiration: Annotated[Instant | None, Lenient] = None


class Webhook(_Wire):
    """One webhook body. The payload uuid stands in it twice; that they agree is checked when it is normalized."""

    meta: Meta
    payload_response: PayloadResponse = Field(alias="payloadResponse")
    custom_meta: Annotated[CustomMeta | None, Lenient] = None
    user_token: Annotated[UserToken | None, Lenient] = Field(default=None, alias="userToken", repr=False)
