"""Whether a signed transaction is the one that was asked for."""

from collections.abc import Iterator
from typing import Any, Final

from processor.core.codec import Json, as_decoded
from processor.core.evidence import OFF_LEDGER_TYPES

MAX_ASKED: Final = 64
"""Fields that a request may name."""

_LEFT_TO_THE_WALLET: Final = frozenset(
    {
        "Account",  # ignored by Xumm unless forced: whoever signs fills it in
        "Fee",
        "Sequence",
        "TicketSequence",
        "LastLedgerSequence",  # below 32570 it counts from the current ledger
        "NetworkID",
        "SigningPubKey",
        "TxnSignature",
        "Signers",
        "Paths",  # of these three, path finding makes what the user chose
        "SendMax",
        "DeliverMin",
        "Memos",  # plain text becomes hexadecimal
        "Flags",  # compared by `_lacks_flags`
    }
)
"""What a wallet fills in or rewrites. Source: https://xumm.readme.io/docs/payload-transaction-data"""

_NOTHING_ASKED: Final = (None, "")


def differing_field(tx_type: str, request: Json, transaction: Json, *, force_account: bool) -> str | None:
    """A field that was asked for and is not there as asked; None if all are.

    ``force_account`` says whether the request's ``Account`` was binding.
    """
    signed_type = transaction.get("TransactionType")
    if signed_type != tx_type and not (signed_type is None and tx_type in OFF_LEDGER_TYPES):
        return "TransactionType"
    if _lacks_flags(request, transaction):
        return "Flags"
    for name, value in _binding(tx_type, request, force_account=force_account):
        if any(transaction.get(part) != asked for part, asked in as_decoded(name, value).items()):
            return name
    return None


def _binding(tx_type: str, request: Json, *, force_account: bool) -> Iterator[tuple[str, Any]]:
    """What the wallet had to keep to."""
    for name, value in request.items():
        pseudo = name == "TransactionType" and value == tx_type and tx_type in OFF_LEDGER_TYPES
        free = name in _LEFT_TO_THE_WALLET and not (name == "Account" and force_account)
        if value not in _NOTHING_ASKED and not pseudo and not free:
            yield name, value


def _lacks_flags(request: Json, transaction: Json) -> bool:
    """Whether a flag that was asked for by number is not set. A wallet may set more."""
    asked = request.get("Flags")
    if not isinstance(asked, int) or isinstance(asked, bool):
        return False
    signed: int = transaction.get("Flags", 0)
    return asked & signed != asked
