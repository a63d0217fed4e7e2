"""One payload (sign request) of the sandbox and the table it moves by.

A payload moves along `TRANSITIONS`. *Expiry means "open before"*: one that was opened can still be signed or
rejected after it expired, one that was not cannot. The same holds for one that was cancelled while it was opened.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from processor.sandbox.network import Network
from processor.sandbox.tokens import UserToken

Situation = Literal[
    "waiting", "opened", "expired", "opened_expired", "signed", "rejected", "cancelled", "opened_cancelled"
]
Action = Literal["open", "sign", "reject", "expire", "cancel"]
CancelReason = Literal["OK", "ALREADY_CANCELLED", "ALREADY_RESOLVED", "ALREADY_OPENED", "ALREADY_EXPIRED"]

TRANSITIONS: Final[dict[tuple[Situation, Action], Situation]] = {
    ("waiting", "open"): "opened",
    ("waiting", "expire"): "expired",
    ("waiting", "cancel"): "cancelled",
    ("opened", "open"): "opened",
    ("opened", "cancel"): "opened_cancelled",
    ("opened", "expire"): "opened_expired",
    ("opened", "sign"): "signed",
    ("opened", "reject"): "rejected",
    ("expired", "expire"): "expired",
    ("opened_expired", "open"): "opened_expired",
    ("opened_expired", "expire"): "opened_expired",
    ("opened_expired", "sign"): "signed",
    ("opened_expired", "reject"): "rejected",
    ("opened_cancelled", "sign"): "signed",
    ("opened_cancelled", "reject"): "rejected",
}

CANCEL_REASONS: Final[dict[Situation, CancelReason]] = {
    "waiting": "OK",
    "opened": "ALREADY_OPENED",
    "opened_expired": "ALREADY_OPENED",
    "expired": "ALREADY_EXPIRED",
    "signed": "ALREADY_RESOLVED",
    "rejected": "ALREADY_RESOLVED",
    "cancelled": "ALREADY_CANCELLED",
    "opened_cancelled": "ALREADY_CANCELLED",
}

SIGN_IN: Final = "SignIn"
CHANNEL_CLAIM: Final = "PaymentChannelAuthorize"
PSEUDO_TYPES: Final = frozenset({SIGN_IN, CHANNEL_CLAIM})
"""What Xumm alone knows: signed, never submitted."""


class IllegalActionError(ValueError):
    """The payload's situation does not allow the action."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """One registration in the developer console."""

    key: str
    """API key, a UUID; public."""
    secret: str = field(repr=False)
    """API secret, a UUID."""
    name: str = "Sandbox application"
    webhook_url: str | None = None
    """Where resolved payloads are posted to; None for nowhere."""
    redirect_uris: tuple[str, ...] = ()
    """Where the OAuth2 provider may send users back to. Empty: anywhere, which Xumm does not allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomMeta:
    """What the application attached."""

    identifier: str | None = None
    blob: Any = None
    instruction: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignRequest:
    """What the application asked for."""

    txjson: Mapping[str, Any]
    """What the blob holds, where the transaction came as ``txblob``."""
    txblob: str | None = None
    submit: bool = True
    multisign: bool = False
    expire: timedelta = timedelta(minutes=240)
    return_url_app: str | None = None
    return_url_web: str | None = None
    force_network: str | None = None
    immutable: bool = False
    pathfinding: bool = False
    pathfinding_fallback: bool = False
    signers: tuple[str, ...] | None = None
    user_token: str | None = field(default=None, repr=False)
    custom_meta: CustomMeta = CustomMeta()

    @property
    def tx_type(self) -> str:
        """``Payment``, ``SignIn``, ..."""
        return str(self.txjson.get("TransactionType", ""))

    @property
    def submits(self) -> bool:
        """Whether the wallet sends the signed transaction to the ledger."""
        return self.submit and not self.multisign and self.tx_type not in PSEUDO_TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """What the node answered when the wallet submitted the transaction."""

    result: str
    known_at: datetime
    """From when on Xumm's API tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """What signing left behind."""

    account: str
    """The account that acts."""
    signer: str
    """Who signed for it: the address of the key, which is another one with a regular key; of several signers, one."""
    public_key: str
    hex: str
    txid: str
    """Empty for what has no hash."""
    network: Network
    user_token: UserToken
    dispatch: Dispatch | None = None
    """None for what never goes to the ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One sign request and what became of it."""

    uuid: str
    reference: str
    """Xumm's ``reference_call_uuidv4``."""
    application: Application
    request: SignRequest
    created_at: datetime
    expires_at: datetime
    pushed: bool = False
    situation: Situation = "waiting"
    opened_by_deeplink: bool | None = None
    """None until opened."""
    cancelled: bool = False
    """Whatever follows."""
    resolved_at: datetime | None = None
    """When signed or rejected."""
    signature: Signature | None = None

    @property
    def opened(self) -> bool:
        """Whether a user had it on screen."""
        return self.opened_by_deeplink is not None

    def after(self, action: Action) -> "Payload":
        """The payload after ``action``. Raises `IllegalActionError` where the table has no row."""
        following = TRANSITIONS.get((self.situation, action))
        if following is None:
            raise IllegalActionError(f"cannot {action} a payload that is {self.situation}")
        return replace(self, situation=following)

    def as_of(self, now: datetime) -> "Payload":
        """The payload with its expiry noticed."""
        if now < self.expires_at or (self.situation, "expire") not in TRANSITIONS:
            return self
        return self.after("expire")
