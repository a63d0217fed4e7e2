"""What ``GET payload/<uuid>`` of Xumm's API answers, as far as an outcome depends on it.

Source: https://docs.xumm.dev/js-ts-sdk/sdk-syntax/xumm.payload/get
"""

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, StrictBool

from schemas.text import Account, CustomMeta, Instant, Lenient, TransactionHash, Uuid


def _empty_is_none(value: object) -> object:
    return None if value == "" else value


_EmptyIsNone = BeforeValidator(_empty_is_none)


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class PayloadMeta(_Wire):
    """The flags of a payload."""

    exists: StrictBool
    uuid: Uuid
    multisign: Annotated[bool | None, Lenient] = None
    submit: StrictBool
    resolved: StrictBool
    signed: StrictBool
    cancelled: StrictBool
    expired: StrictBool
    app_opened: StrictBool = False


class PayloadApplication(_Wire):
    """The application that the payload belongs to. ``issued_user_token`` is a secret."""

    uuidv4: Uuid
    issued_user_token: Annotated[Uuid | None, Lenient] = None


class PayloadRequest(_Wire):
    """What was asked."""

    tx_type: str
    created_at: Annotated[Instant | None, Lenient] = None
    expires_at: Annotated[Instant | None, Lenient] = None


class PayloadAnswer(_Wire):
    """What the wallet answered; every field is null until it did."""

    hex: Annotated[str | None, _EmptyIsNone] = None
    txid: Annotated[TransactionHash | None, _EmptyIsNone] = None
    resolved_at: Annotated[Instant | None, Lenient] = None
    dispatched_result: str | None = None
    dispatched_nodetype: str | None = None
    environment_nodetype: str | None = None
    account: Annotated[Account | None, _EmptyIsNone] = None
    signer: Annotated[Account | None, _EmptyIsNone] = None


class Payload(_Wire):
    """One payload as Xumm knows it."""

    meta: PayloadMeta
    application: PayloadApplication
    payload: PayloadRequest
    response: PayloadAnswer
    custom_meta: Annotated[CustomMeta | None, Lenient] = None
