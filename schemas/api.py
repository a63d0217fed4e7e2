"""The requests and answers of the HTTP interface, from which the OpenAPI document is generated."""

from datetime import datetime
from typing import Annotated, Final, Literal, Self

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictInt,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from schemas.devices import Channel, Locale, Platform, Subscription
from schemas.events import ResolveName, SignName
from schemas.text import Account, ApplicationName, TransactionHash, Uuid

MAX_IDENTIFIER: Final = 40
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]{0,39}$")]
"""The application's own name for a payload: at most 40 characters that need no escapes anywhere."""
Instruction = Annotated[
    str, StringConstraints(max_length=280, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]*$")
]
ReturnAddress = Annotated[str, StringConstraints(max_length=512)]
Minutes = Annotated[StrictInt, Field(ge=1, le=60 * 24 * 7)]


class _ApiModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class Return(_ApiModel):
    """The URLs that Xumm sends the user back to. Each must equal one that is registered for the application."""

    app: ReturnAddress | None = None
    """For a user who came from an app on the same device."""
    web: ReturnAddress | None = None
    """For a user who came from a browser."""


class SignInCommand(_ApiModel):
    """Begin a sign-in."""

    app: ApplicationName
    return_url: Return | None = None


class SignRequestCommand(_ApiModel):
    """Ask a user to sign a transaction."""

    app: ApplicationName
    txjson: dict[str, JsonValue]
    """The transaction's template."""
    submit: StrictBool
    """Whether the wallet submits the transaction. Required, since it decides what the outcome means."""
    expire: Minutes = 240
    """Minutes within which the payload can be opened."""
    force_network: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9]{1,19}$")] | None = None
    """The network to sign on. If given, it must be the application's own."""
    instruction: Instruction | None = None
    """Text that is shown to the user."""
    identifier: Identifier | None = None
    """The application's own name for the payload, unique within the application."""
    blob: dict[str, JsonValue] | None = None
    """Data that is copied into webhooks and events."""
    account: Account | None = None
    """The account to push the payload to. A user's requests are pushed to the user."""
    return_url: Return | None = None


class Qr(_ApiModel):
    """The code to scan with the wallet."""

    png: str
    """A data URL of a PNG that this service made."""
    matrix: tuple[str, ...]
    """The same code for drawing: rows from top to bottom, ``1`` for a dark module, without the quiet zone."""
    png_url: str | None = None
    """The URL of Xumm's PNG."""
    matrix_url: str | None = None
    """The URL of Xumm's matrix as JSON."""


class SignRequestCreated(_ApiModel):
    """The payload was created at Xumm, and is followed to its end."""

    id: Uuid
    """The payload's UUID."""
    identifier: str
    status_url: str
    """Path on this host."""
    events_url: str
    """Path on this host of the server-sent events."""
    link: str
    """The universal link that opens the wallet."""
    qr: Qr
    delivery: Literal["push", "link"]
    """``push``: a notification is on its way to the user's device; ``link``: show the link or the code."""
    tokens_kept: bool
    """Whether this service keeps user tokens at all, so that a later request can be pushed."""
    expires_at: datetime


class SignInCreated(SignRequestCreated):
    """A sign-in, with the secret that its creator exchanges for the session."""

    exchange_secret: str
    """The bearer token for status, events and session of the sign-in. Valid once for the session; shown once."""
    session_url: str
    """Path on this host: POST to it once the payload is signed."""


class SignRequestStatus(_ApiModel):
    """The progress of a sign request."""

    id: Uuid
    app: ApplicationName
    identifier: str
    tx_type: str
    submit: bool
    created_at: datetime
    expires_at: datetime
    reported: tuple[SignName, ...]
    """The reports of Xumm so far, which are not proven: deliver nothing on them."""
    outcome: ResolveName | None
    """The outcome, once proven."""
    account: Account | None = None
    """The signer, once proven."""
    txid: TransactionHash | None = None
    """The transaction, once proven."""


class SignRequestPage(_ApiModel):
    """Sign requests, the newest first."""

    items: tuple[SignRequestStatus, ...]
    next: str | None = None
    """The cursor of the next page; null on the last."""


class SignRequestCancelled(_ApiModel):
    """The payload can no longer be opened."""

    id: Uuid
    reason: Literal["OK", "ALREADY_CANCELLED"]


class SessionCreated(_ApiModel):
    """The user proved to hold the account."""

    token: str
    """Bearer token; shown once."""
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  the name of a scheme
    expires_in: int
    """Seconds."""
    app: ApplicationName
    account: Account


class SessionRedeemed(_ApiModel):
    """The user signed in through Xumm's OAuth2 provider."""

    access_token: str = Field(repr=False)
    """Bearer token; shown once."""
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  the name of a scheme
    expires_in: int
    """Seconds."""
    app: ApplicationName
    account: Account


class Watched(_ApiModel):
    """The payload is followed."""

    result: Literal["accepted", "known"]
    """``known``: it was followed already, or has ended."""


class Me(_ApiModel):
    """The caller, as this service knows them."""

    app: ApplicationName
    account: Account
    proven_by: Literal["session", "xumm_jwt", "xapp_jwt"]
    expires_at: AwareDatetime | None
    """Until when the proof counts, where it is known."""


class DeviceRegistration(_ApiModel):
    """A device of the caller's; its token is in the path."""

    channel: Channel
    """The provider of the token."""
    platform: Platform | None = None
    """The platform of the device; by default the one that the channel serves: Android, iOS or the web."""
    locale: Locale | None = None
    """The language of the user."""
    subscription: Subscription | None = None
    """The push subscription of a browser; only for channel ``webpush``."""

    @model_validator(mode="after")
    def _subscribed(self) -> Self:
        if (self.channel == "webpush") != (self.subscription is not None):
            raise PydanticCustomError("subscription_misplaced", "webpush, and no other channel, has a subscription")
        return self


class FieldError(_ApiModel):
    """A fault in one field."""

    field: str
    reason: str


class ProblemDetails(_ApiModel):
    """A refusal, as in RFC 9457."""

    type: str
    title: str
    status: int
    reason: str
    errors: tuple[FieldError, ...] = ()
