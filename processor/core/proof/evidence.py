"""What proves an outcome: a payload as Xumm's API shows it, the signature in it, a transaction as a ledger shows it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal

CustomMetaJson = bytes
"""What the application attached to the payload: JSON as of `schemas.text.CustomMeta`, carried and never looked into."""

SnapshotOutcome = Literal["open", "expired", "cancelled", "rejected", "signed"]

CHANNEL_CLAIM: Final = "PaymentChannelAuthorize"
OFF_LEDGER_TYPES: Final = frozenset({"SignIn", CHANNEL_CLAIM})
"""Pseudo transactions of Xumm's: signed, never submitted."""


DoubtReason = Literal["missing", "unreadable", "forged", "differs"]
"""``unreadable``: longer, deeper or newer than what can be read, or of a chain that is not known here; ``forged``: no
such key signed this; ``differs``: signed, but not what Xumm's API claims, or not what was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedSignature:
    """The signature in a signed blob, checked."""

    account: str
    """The address that the signing key derives to, or that the signer list acts for."""
    algorithm: Literal["secp256k1", "ed25519", "multisign"]
    unauthorised: str | None = None
    """The address of a key that nothing proves yet to be a regular key of the account that it signed for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureDoubt:
    """Why a signature is not proven."""

    field: str
    """Of the API's answer or of the signed transaction; never its value."""
    reason: DoubtReason

    @property
    def disproves(self) -> bool:
        """Whether it speaks against the signature. What is missing may come; what is unreadable needs a human."""
        return self.reason in {"forged", "differs"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A payload as fetched."""

    application: str
    """Xumm's uuid of the application that the payload belongs to, as the API says."""
    fetched_at: datetime
    outcome: SnapshotOutcome
    opened: bool
    tx_type: str
    submit: bool
    """Whether the wallet was to submit the transaction."""
    account: str | None = None
    """Who signed, of several signers the one whom the API names; as long as that is not proven, the account that the
    transaction is said to act for. Never None if the outcome is ``signed``."""
    txid: str | None = None
    signature: VerifiedSignature | None = None
    """None unless the outcome is ``signed`` and the signature proven."""
    doubt: SignatureDoubt | None = None
    """Why it is not proven."""
    last_ledger_sequence: int | None = None
    """The last ledger that may hold the transaction, if its signed blob names one."""
    network: str | None = None
    """The network the wallet was on, such as ``MAINNET``."""
    networks_disagree: bool = False
    """Whether the answer names several networks."""
    resolved_at: datetime | None = None
    expires_at: datetime | None = None
    """Never None if the outcome is ``expired``."""

    @property
    def on_ledger(self) -> bool:
        """Whether the signature was to become a transaction."""
        return self.submit and self.tx_type not in OFF_LEDGER_TYPES

    @property
    def proven(self) -> bool:
        """Whether somebody signed who may. On a ledger the ledger itself sees to that *may*."""
        return self.signature is not None and (self.on_ledger or self.signature.unauthorised is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """A transaction as a ledger node showed it."""

    checked_at: datetime
    node: str
    """Host of the node that was asked."""
    status: Literal["pending", "validated", "never_validated"]
    """``pending``: not found yet, or in no validated ledger yet; ``never_validated``: too late for it to ever be."""
    txid: str
    ledger_index: int | None = None
    result: str | None = None
    delivered_amount: str | dict[str, Any] | None = None
    amount_unavailable: bool = False
    """Whether the node cannot tell what was delivered: it is not known then, which is not nothing."""
    destination: str | None = None
    destination_tag: int | None = None
    fee: str | None = None

    @property
    def succeeded(self) -> bool:
        """Validated, and with the only result code that means success."""
        return self.status == "validated" and self.result == "tesSUCCESS"
