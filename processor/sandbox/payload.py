"""One payload (sign request) of the sandbox and the table of its transitions.

*Expiry means "open before"*: an opened payload can still be signed or rejected after it expired, an unopened one
cannot. The same holds for a payload that was cancelled while it was opened.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal

from processor.sandbox.network import LedgerNetwork
from processor.sandbox.user_tokens import UserToken

Situation = Literal[
    "waiting", "opened", "expired", "opened_expired", "signed", "rejected", "cancelled", "opened_cancelled"
]
Action = Literal["open", "sign", "reject", "expire", "cancel"]
CancellationReason = Literal["OK", "ALREADY_CANCELLED", "ALREADY_RESOLVED", "ALREADY_OPENED", "ALREADY_EXPIRED"]

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

CANCELLATION_REASONS: Final[dict[Situation, CancellationReason]] = {
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
"""Transaction types of Xumm alone: signed, never submitted."""


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
    """The URL of its webhooks; None for no webhooks."""
    redirect_uris: tuple[str, ...] = ()
    """The redirect URIs allowed for OAuth2; empty for any, which Xumm does not allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomMeta:
    """The data that the application attached to a payload."""

    identifier: str | None = None
    blob: Any = None
    instruction: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignRequest:
    """The content of ``POST payload``."""

    txjson: Mapping[str, Any]
    """The transaction, decoded where it came as ``txblob``."""
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
        """Whether the wallet submits the signed transaction to the ledger."""
        return self.submit and not self.multisign and self.tx_type not in PSEUDO_TYPES


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatch:
    """The answer of the node to which the wallet submitted the transaction."""

    result: str
    known_at: datetime
    """When Xumm's API begins to show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadSignature:
    """The signature of a payload and its circumstances."""

    account: str
    """The account of the transaction."""
    signer: str
    """The address of the key that signed: another one than the account with a regular key or with several signers."""
    public_key: str
    hex: str
    txid: str
    """Empty for a claim on a payment channel, which has no hash."""
    network: LedgerNetwork
    user_token: UserToken
    dispatch: Dispatch | None = None
    """None for a transaction that is never submitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """One payload and its situation."""

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
    """Stays true if the payload is signed or rejected later."""
    resolved_at: datetime | None = None
    """When signed or rejected."""
    signature: PayloadSignature | None = None

    @property
    def opened(self) -> bool:
        """Whether a user opened it."""
        return self.opened_by_deeplink is not None

    def after(self, action: Action) -> "Payload":
        """The payload after ``action``. Raises `IllegalActionError` where the table has no row."""
        situation = TRANSITIONS.get((self.situation, action))
        if situation is None:
            raise IllegalActionError(f"cannot {action} a payload that is {self.situation}")
        return replace(self, situation=situation)

    def as_of(self, now: datetime) -> "Payload":
        """The payload at ``now``, expired if its time has passed."""
        if now < self.expires_at or (self.situation, "expire") not in TRANSITIONS:
            return self
        return self.after("expire")
