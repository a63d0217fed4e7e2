"""What Xumm's API answers to the calls that make, cancel and check things; `schemas.payload` has what it shows.

Source: https://docs.xumm.dev/js-ts-sdk/sdk-syntax/xumm.payload
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictBool

from schemas.text import Instant, Lenient, Uuid

CancelReason = Literal["OK", "ALREADY_CANCELLED", "ALREADY_RESOLVED", "ALREADY_OPENED", "ALREADY_EXPIRED"]
ENDED_OTHERWISE: Final[frozenset[CancelReason]] = frozenset({"ALREADY_RESOLVED", "ALREADY_OPENED", "ALREADY_EXPIRED"})
"""Reasons for which a payload is not cancelled, and never will be."""


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True, hide_input_in_errors=True)


class PingedApplication(_Wire):
    """The application whose credentials were used."""

    uuidv4: Uuid
    name: str = ""
    webhookurl: Annotated[str | None, Lenient] = None
    disabled: Annotated[int | None, Lenient] = None


class Authentication(_Wire):
    """Who called."""

    application: PingedApplication


class Pong(_Wire):
    """``GET ping``: the credentials are right, and whose they are."""

    pong: Literal[True]
    auth: Authentication


class NextSteps(_Wire):
    """Where to send the user."""

    always: str
    """The deep link or universal link."""
    no_push_msg_received: Annotated[str | None, Lenient] = None


class References(_Wire):
    """Where to show and to watch it."""

    qr_png: Annotated[str | None, Lenient] = None
    qr_matrix: Annotated[str | None, Lenient] = None
    websocket_status: str


class Created(_Wire):
    """``POST payload``: the sign request stands."""

    uuid: Uuid
    next: NextSteps
    refs: References
    pushed: StrictBool = False
    """Whether the user token led to a device."""


class _CancelResult(_Wire):
    cancelled: StrictBool
    reason: CancelReason


class Cancelled(_Wire):
    """``DELETE payload``: whether it is cancelled, or why not."""

    result: _CancelResult

    @property
    def stands(self) -> bool:
        """Whether the payload is cancelled now, by this call or by an earlier one."""
        return self.result.reason not in ENDED_OTHERWISE


class TokenState(_Wire):
    """Whether a user token can still be pushed to."""

    user_token: Annotated[Uuid, Field(repr=False)]
    """A secret."""
    active: StrictBool
    issued: Annotated[Instant | None, Lenient] = None
    expires: Annotated[Instant | None, Lenient] = None


class TokenStates(_Wire):
    """``POST user-tokens``, and ``GET user-token/<token>``."""

    tokens: tuple[TokenState, ...]
