"""The evidence of an outcome: a payload in Xumm's API, the signature in it, and the transaction in a ledger.

Snapshots and ledgers are stored by the names of their fields.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, NoReturn

from processor.core.errors import ProcessorError

CustomMetaJson = bytes
"""The JSON of a `schemas.text.CustomMeta`, which is carried and not interpreted."""

SnapshotOutcome = Literal["open", "expired", "cancelled", "rejected", "signed"]

CHANNEL_CLAIM: Final = "PaymentChannelAuthorize"
OFF_LEDGER_TYPES: Final = frozenset({"SignIn", CHANNEL_CLAIM})
"""Pseudo transactions of Xumm: signed, never submitted."""


DoubtReason = Literal["missing", "unreadable", "forged", "differs"]
"""``missing``: the API's answer lacks the field; ``unreadable``: too long, deep or new for this version, or of a chain
that is unknown; ``forged``: the signature does not verify; ``differs``: what was signed differs from what Xumm's API
claims, or from the request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedSignature:
    """The signature in a signed blob, after its verification."""

    account: str
    """The address that is derived from the signing key, or that the signer list acts for."""
    algorithm: Literal["secp256k1", "ed25519", "multisign"]
    unauthorised: str | None = None
    """The address of the signing key, if it is not proven yet to be a regular key of the account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureDoubt:
    """Why a signature is not proven."""

    field: str
    """Of the API's answer or of the signed transaction; never its value."""
    reason: DoubtReason

    @property
    def disproves(self) -> bool:
        """Whether the signature is disproven. A missing field may follow; an unreadable one needs a human."""
        return self.reason in {"forged", "differs"}


class DoubtFound(ProcessorError):
    """A signature is in doubt."""

    def __init__(self, doubt: SignatureDoubt) -> None:
        super().__init__()
        self.doubt = doubt


def fail(field: str, reason: DoubtReason) -> NoReturn:
    """Raise `DoubtFound` for a field."""
    raise DoubtFound(SignatureDoubt(field=field, reason=reason))


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A payload in an answer of Xumm's API."""

    application: str
    """Xumm's uuid of the application that the payload belongs to."""
    fetched_at: datetime
    outcome: SnapshotOutcome
    opened: bool
    tx_type: str
    submit: bool
    """Whether the wallet was to submit the transaction."""
    account: str | None = None
    """The signer, or the one of several signers that the API names; until that is proven, the account that the
    transaction claims to act for. Never None if the outcome is ``signed``."""
    txid: str | None = None
    signature: VerifiedSignature | None = None
    """None unless the outcome is ``signed`` and the signature is proven."""
    doubt: SignatureDoubt | None = None
    """Why the signature is not proven."""
    last_ledger_sequence: int | None = None
    """The last ledger that may contain the transaction, if the signed blob names one."""
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
        """Whether the signer is proven and authorised. A ledger itself checks the authorisation of a transaction."""
        return self.signature is not None and (self.on_ledger or self.signature.unauthorised is None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """A transaction in an answer of a ledger node."""

    checked_at: datetime
    node: str
    """Host of the node that was asked."""
    status: Literal["pending", "validated", "never_validated"]
    """``pending``: not found, or not in a validated ledger yet; ``never_validated``: no later ledger may contain it."""
    txid: str
    ledger_index: int | None = None
    result: str | None = None
    delivered_amount: str | dict[str, Any] | None = None
    amount_unavailable: bool = False
    """Whether the node cannot tell the delivered amount, which is then unknown, not zero."""
    destination: str | None = None
    destination_tag: int | None = None
    fee: str | None = None

    @property
    def succeeded(self) -> bool:
        """Whether it is validated with ``tesSUCCESS``, the only result code that means success."""
        return self.status == "validated" and self.result == "tesSUCCESS"
