"""The answers of Xumm's API to the calls that create, cancel and check; `schemas.payload` has the payload itself.

Source: https://docs.xumm.dev/js-ts-sdk/sdk-syntax/xumm.payload
"""

from typing import Annotated, Final, Literal

from pydantic import Field, StrictBool

from schemas.text import Instant, Lenient, Uuid, XummAnswer

CancelReason = Literal["OK", "ALREADY_CANCELLED", "ALREADY_RESOLVED", "ALREADY_OPENED", "ALREADY_EXPIRED"]
ENDED_OTHERWISE: Final[frozenset[CancelReason]] = frozenset({"ALREADY_RESOLVED", "ALREADY_OPENED", "ALREADY_EXPIRED"})
"""Reasons why a payload is not cancelled, and never will be."""


class PingedApplication(XummAnswer):
    """The application whose credentials were used."""

    uuidv4: Uuid
    name: str = ""
    webhookurl: Annotated[str | None, Lenient] = None
    disabled: Annotated[int | None, Lenient] = None


class Authentication(XummAnswer):
    """The caller."""

    application: PingedApplication


class Pong(XummAnswer):
    """``GET ping``: the credentials are valid, and of this application."""

    pong: Literal[True]
    auth: Authentication


class NextSteps(XummAnswer):
    """The links to send the user to."""

    always: str
    """The deep link or universal link."""
    no_push_msg_received: Annotated[str | None, Lenient] = None


class References(XummAnswer):
    """The URLs of the QR code and of the status socket."""

    qr_png: Annotated[str | None, Lenient] = None
    qr_matrix: Annotated[str | None, Lenient] = None
    websocket_status: str


class Created(XummAnswer):
    """``POST payload``: the payload was created."""

    uuid: Uuid
    next: NextSteps
    refs: References
    pushed: StrictBool = False
    """Whether the payload was pushed to a device of the user."""


class _CancelResult(XummAnswer):
    cancelled: StrictBool
    reason: CancelReason


class Cancelled(XummAnswer):
    """``DELETE payload``: whether the payload is cancelled, or why not."""

    result: _CancelResult

    @property
    def stands(self) -> bool:
        """Whether the payload is cancelled now, by this call or by an earlier one."""
        return self.result.reason not in ENDED_OTHERWISE


class TokenState(XummAnswer):
    """Whether a user token is still valid."""

    user_token: Annotated[Uuid, Field(repr=False)]
    """A secret."""
    active: StrictBool
    issued: Annotated[Instant | None, Lenient] = None
    expires: Annotated[Instant | None, Lenient] = None


class TokenStates(XummAnswer):
    """``POST user-tokens``, and ``GET user-token/<token>``."""

    tokens: tuple[TokenState, ...]
