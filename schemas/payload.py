"""The answer of Xumm's API to ``GET payload/<uuid>``, as far as an outcome depends on it.

Source: https://docs.xumm.dev/js-ts-sdk/sdk-syntax/xumm.payload/get
"""

import re
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, JsonValue, StrictBool

from schemas.text import Account, Attached, Instant, Lenient, NothingIsNone, TransactionHash, Uuid, Whole, XummAnswer


def _result(value: object) -> object:
    """A ledger knows ``tesSUCCESS``; Xumm also writes ``tes_SUCCESS``."""
    return _SPLIT_RESULT.sub(r"\1", value) if isinstance(value, str) else value


_SPLIT_RESULT: Final = re.compile(r"^(te[a-z])_(?=[A-Z])")
_PublicKey = Annotated[str, Field(pattern=r"^[0-9A-Fa-f]{66}$")]
_Name = Annotated[str, Field(max_length=64)]


class PayloadMeta(XummAnswer):
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
    force_account: Annotated[bool | None, Field(alias="forceAccount"), Lenient] = None
    """Whether the ``Account`` of the request is binding."""


class PayloadApplication(XummAnswer):
    """The application that the payload belongs to. ``issued_user_token`` is a secret."""

    uuidv4: Uuid
    issued_user_token: Annotated[Uuid | None, Lenient] = None


class PayloadRequest(XummAnswer):
    """The request."""

    tx_type: str
    request_json: Annotated[dict[str, JsonValue] | None, Lenient] = None
    created_at: Annotated[Instant | None, Lenient] = None
    expires_at: Annotated[Instant | None, Lenient] = None


class PayloadAnswer(XummAnswer):
    """The answer of the wallet; every field is null before."""

    hex: Annotated[str | None, NothingIsNone] = None
    txid: Annotated[TransactionHash | None, NothingIsNone] = None
    resolved_at: Annotated[Instant | None, Lenient] = None
    dispatched_result: Annotated[_Name | None, BeforeValidator(_result), NothingIsNone] = None
    dispatched_nodetype: Annotated[_Name | None, NothingIsNone] = None
    environment_nodetype: Annotated[_Name | None, NothingIsNone] = None
    environment_networkid: Annotated[Whole | None, NothingIsNone] = None
    account: Annotated[Account | None, NothingIsNone] = None
    signer: Annotated[Account | None, NothingIsNone] = None
    signer_pubkey: Annotated[_PublicKey | None, NothingIsNone] = None
    multisign_account: Annotated[Account | None, NothingIsNone] = None

    @property
    def nodetypes(self) -> tuple[str | None, ...]:
        """Xumm's names of the network, from all fields that have one."""
        return self.dispatched_nodetype, self.environment_nodetype


class Payload(XummAnswer):
    """One payload as Xumm knows it."""

    meta: PayloadMeta
    application: PayloadApplication
    payload: PayloadRequest
    response: PayloadAnswer
    custom_meta: Attached = None
