"""The body of ``POST payload``: the fields that the sandbox acts on; other fields are ignored.

Source: https://docs.xumm.dev/concepts/payloads-sign-requests
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from processor.sandbox.javascript import stringify
from processor.sandbox.payload import CustomMeta, SignRequest
from processor.sandbox.signing import check_transaction, read_blob
from schemas.text import Uuid

LIMITS: Final = {"identifier": 40, "instruction": 280, "blob": 1500}
"""Characters of each text that an application attaches; a blob counts as JSON text."""


class _BodyPart(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _ReturnUrl(_BodyPart):
    app: Annotated[str, Field(max_length=250)] | None = None
    web: Annotated[str, Field(max_length=250)] | None = None


class OversizedError(ValueError):
    """A text that the application attached is longer than Xumm allows."""


class _Options(_BodyPart):
    submit: StrictBool = True
    multisign: StrictBool = False
    expire: Annotated[int, Field(ge=1)] = 240
    return_url: _ReturnUrl = _ReturnUrl()
    force_network: str | None = None
    immutable: StrictBool = False
    pathfinding: StrictBool = False
    pathfinding_fallback: StrictBool = False
    signers: Annotated[tuple[str, ...], Field(max_length=4)] | None = None


class _PayloadBody(_BodyPart):
    txjson: dict[str, Any] | None = None
    txblob: Annotated[str, Field(pattern=r"^([0-9A-Fa-f]{2})+$")] | None = None
    options: _Options = _Options()
    custom_meta: CustomMeta = CustomMeta()
    user_token: Uuid | None = None

    @model_validator(mode="after")
    def _one_transaction(self) -> Self:
        if (self.txjson is None) == (self.txblob is None):
            raise ValueError("either txjson or txblob")
        if not isinstance(self.transaction.get("TransactionType"), str):
            raise ValueError("txjson needs a TransactionType")  # noqa: TRY004  pydantic knows only this kind
        check_transaction(self.transaction)
        return self

    @property
    def transaction(self) -> dict[str, Any]:
        """The transaction, decoded from ``txblob`` if need be. Raises ``ValueError`` for an invalid blob."""
        return read_blob(self.txblob) if self.txblob is not None else self.txjson or {}


def parse_request(body: bytes | Mapping[str, Any]) -> SignRequest:
    """The sign request in ``body``.

    Raises ``pydantic.ValidationError`` where Xumm answers code 602, and `OversizedError` where it answers 413.
    """
    wire = _PayloadBody.model_validate_json(body) if isinstance(body, bytes) else _PayloadBody.model_validate(body)
    _check_size(wire.custom_meta)
    options, urls = wire.options, wire.options.return_url
    return SignRequest(
        txjson=wire.transaction,
        txblob=wire.txblob,
        expire=timedelta(minutes=options.expire),
        return_url_app=urls.app,
        return_url_web=urls.web,
        user_token=wire.user_token,
        custom_meta=wire.custom_meta,
        **options.model_dump(exclude={"expire", "return_url"}),
    )


def _check_size(attached: CustomMeta) -> None:
    texts = {
        "identifier": attached.identifier or "",
        "instruction": attached.instruction or "",
        "blob": "" if attached.blob is None else stringify(attached.blob),
    }
    for name, text in texts.items():
        if len(text) > LIMITS[name]:
            raise OversizedError(f"{name} has more than {LIMITS[name]} characters")
