"""The body that Xumm posts when a payload is signed or rejected.

Shapes are those really seen, wider than the documented ones. What decides an outcome (both payload uuids, the
application, ``signed``, ``txid``) is strict; what merely accompanies it turns into ``None`` when it makes no sense, since
refusing a whole webhook over an odd expiry date would lose an outcome.

Source: https://docs.xumm.dev/concepts/payloads-sign-requests/status-updates/webhooks
"""

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

from schemas.text import Instant, TransactionHash, Uuid


def _none_if_odd(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    try:
        return handler(value)
    except ValueError:
        return None


_lenient = WrapValidator(_none_if_odd)


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Meta(_Wire):
    """Which application and payload the webhook is about."""

    application_uuidv4: Uuid
    payload_uuidv4: Uuid
    opened_by_deeplink: Annotated[bool | None, _lenient] = None


class CustomMeta(_Wire):
    """What the application attached to the payload when it created it; Xumm only carries it."""

    identifier: str | None = None
    blob: JsonValue = None
    instruction: str | None = None


class PayloadResponse(_Wire):
    """How the payload ended, as far as a webhook tells."""

    payload_uuidv4: Uuid
    signed: StrictBool
    txid: TransactionHash | None = None


class UserToken(_Wire):
    """The user token issued to this user for this application. ``user_token`` is a secret."""

    user_token: Uuid | None = Field(default=None, repr=False)
    token_issued: Annotated[Instant | None, _lenient] = None
    token_expiration: Annotated[Instant | None, _lenient] = None


class Webhook(_Wire):
    """One webhook body. ``meta.payload_uuidv4`` and ``payload_response.payload_uuidv4`` must agree: the core checks it."""

    meta: Meta
    payload_response: PayloadResponse = Field(alias="payloadResponse")
    custom_meta: CustomMeta | None = None
    user_token: Annotated[UserToken | None, _lenient] = Field(default=None, alias="userToken", repr=False)
