"""What apps and services say to this one over HTTP, and what it answers. The OpenAPI document is made of these."""

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
Text = Annotated[
    str, StringConstraints(max_length=280, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]*$")
]
Address = Annotated[str, StringConstraints(max_length=512)]
Minutes = Annotated[StrictInt, Field(ge=1, le=60 * 24 * 7)]


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class Return(_Wire):
    """Where Xumm sends the user back to: each must be registered for the application, character by character."""

    app: Address | None = None
    """When the user came from an app on the same device."""
    web: Address | None = None
    """When the user came from a browser."""


class SignInCommand(_Wire):
    """Begin a sign-in."""

    app: ApplicationName
    return_url: Return | None = None


class SignRequestCommand(_Wire):
    """Ask a user to sign a transaction."""

    app: ApplicationName
    txjson: dict[str, JsonValue]
    """The transaction's template."""
    submit: StrictBool
    """Whether the wallet submits it. Required: it decides what the outcome means."""
    expire: Minutes = 240
    """Minutes within which it can be opened."""
    force_network: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9]{1,19}$")] | None = None
    """The network it must be signed on; the application's own unless named, and no other than that is taken."""
    instruction: Text | None = None
    """Shown to the user."""
    identifier: Identifier | None = None
    """The application's own name for it, unique within the application."""
    blob: dict[str, JsonValue] | None = None
    """Carried along, into webhooks and events."""
    account: Account | None = None
    """Whom to push it to. A user's requests are their own."""
    return_url: Return | None = None


class Qr(_Wire):
    """The code to scan with the wallet."""

    png: str
    """A data URL of a PNG, made here: nobody else is asked."""
    matrix: tuple[str, ...]
    """The same code for drawing: rows from top to bottom, ``1`` for a dark module, without the quiet zone."""
    png_url: str | None = None
    """Xumm's picture."""
    matrix_url: str | None = None
    """Xumm's matrix as JSON."""


class SignRequestCreated(_Wire):
    """The payload stands at Xumm, and is followed to its end."""

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
    """A sign-in, and the secret with which whoever began it gets the session."""

    exchange_secret: str
    """As bearer token for the sign-in's status, events and session. Works once for the session; shown once."""
    session_url: str
    """Path on this host: POST there once it is signed."""


class SignRequestStatus(_Wire):
    """How far it is."""

    id: Uuid
    app: ApplicationName
    identifier: str
    tx_type: str
    submit: bool
    created_at: datetime
    expires_at: datetime
    reported: tuple[SignName, ...]
    """What Xumm reported. Deliver nothing on it."""
    outcome: ResolveName | None
    """How it ended, once proven."""
    account: Account | None = None
    """Who signed, once proven."""
    txid: TransactionHash | None = None
    """The transaction, once proven."""


class SignRequestPage(_Wire):
    """Sign requests, the newest first."""

    items: tuple[SignRequestStatus, ...]
    next: str | None = None
    """The cursor of the next page; null on the last."""


class SignRequestCancelled(_Wire):
    """It can no longer be opened."""

    id: Uuid
    reason: Literal["OK", "ALREADY_CANCELLED"]


class SessionCreated(_Wire):
    """The user proved to hold the account."""

    token: str
    """Bearer token; shown once."""
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  the name of a scheme
    expires_in: int
    """Seconds."""
    app: ApplicationName
    account: Account


class SessionRedeemed(_Wire):
    """The user signed in through Xumm's OAuth2 provider."""

    access_token: str
    """Bearer token; shown once."""
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105  the name of a scheme
    expires_in: int
    """Seconds."""
    app: ApplicationName
    account: Account


class Watched(_Wire):
    """The payload is followed."""

    result: Literal["accepted", "known"]
    """``known``: it was already, or it has ended."""


class Me(_Wire):
    """Who the caller is, as far as this service is concerned."""

    app: ApplicationName
    account: Account
    proven_by: Literal["session", "xumm_jwt", "xapp_jwt"]
    expires_at: AwareDatetime | None
    """Until when that counts, where it is known."""


class DeviceRegistration(_Wire):
    """A device of the caller's; its token is in the path."""

    channel: Channel
    """The provider that the token is of."""
    platform: Platform | None = None
    """What the device is; by default what its channel serves: Android, iOS or the web."""
    locale: Locale | None = None
    """Language of its user."""
    subscription: Subscription | None = None
    """Of a browser, and of nothing else."""

    @model_validator(mode="after")
    def _subscribed(self) -> Self:
        if (self.channel == "webpush") != (self.subscription is not None):
            raise PydanticCustomError("subscription_misplaced", "webpush has a subscription, nothing else has")
        return self


class FieldError(_Wire):
    """What is wrong with one field."""

    field: str
    reason: str


class ProblemDetails(_Wire):
    """A refusal, as of RFC 9457."""

    type: str
    title: str
    status: int
    reason: str
    errors: tuple[FieldError, ...] = ()
