"""What a wallet makes of a sign request: the transaction filled in, signed, and who signed it."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, JsonValue
from xrpl.constants import XRPLException
from xrpl.core.binarycodec import decode

from processor.sandbox.faults import TEC, Faults
from processor.sandbox.network import Network, NetworkName
from processor.sandbox.payload import CHANNEL_CLAIM, PSEUDO_TYPES, SIGN_IN, IllegalActionError, SignRequest
from processor.sandbox.wallet import ALICE, BOB, OTHER_TYPES, SIGN_IN_ACCOUNT, SIGNED_SIGN_IN, check_writable, wallet_of
from schemas.text import Account

Json = dict[str, Any]

ACCOUNT: Final = ALICE.address
"""Who signs unless somebody is named, here or in the request."""
PARTIAL_PAYMENT: Final = 0x00020000
UNAVAILABLE: Final = "unavailable"
"""What a node says was delivered by a partial payment whose metadata does not tell.

Source: https://xrpl.org/docs/concepts/payment-types/partial-payments#the-delivered_amount-field
"""
LEDGERS_TO_LIVE: Final = 20
_RELATIVE_BELOW: Final = 32570
"""A lower ``LastLedgerSequence`` counts from the current ledger."""
_BATCH: Final = "Batch"
_PAYMENT: Final = "Payment"
_FULLY_CANONICAL: Final = 0x80000000
_FEE: Final = "12"
_SIGNATURES: Final = frozenset({"SigningPubKey", "TxnSignature", "Signers", "BatchSigners"})
_PATH: Final[Json] = {"currency": "USD", "issuer": BOB.address}
"""What a user pays with who let the wallet look for a path."""


class Signing(BaseModel):
    """How to sign; the defaults are the ordinary way."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account: Account | None = None
    """Who signs; None for the one that the request names, else `ACCOUNT`."""
    result: str = "tesSUCCESS"
    """What the node answers, and what the ledger says later."""
    ledger_result: str | None = None
    """What the ledger says, where that differs."""
    delivered: JsonValue = None
    """Less than ``Amount``: a partial payment."""
    network: NetworkName | None = None
    """The network that the wallet is on; None for the one of the sandbox's ledger."""
    dispatch_known_after: float = 0
    """Seconds for which the API does not know the node's answer yet."""

    def under(self, faults: Faults) -> "Signing":
        """How it comes out where ``faults`` are set."""
        changes: Json = {}
        if faults.network is not None:
            changes["network"] = faults.network
        if faults.dispatch_late_by is not None:
            changes["dispatch_known_after"] = faults.dispatch_late_by
        if faults.ledger == "tec":
            changes["ledger_result"] = TEC
        if faults.ledger == "unavailable":
            changes["delivered"] = UNAVAILABLE
        return self.model_copy(update=changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the wallet is, as far as a transaction has to say so."""

    network: Network
    validated_index: int
    """The newest validated ledger there."""


class Signed(NamedTuple):
    """A signed blob and who stands behind it."""

    hex: str
    account: str
    """The account that the transaction is of."""
    signer: str
    """Who signed for it."""
    public_key: str
    transaction: Json
    """What was signed, as JSON; empty for what is no transaction."""


class Wallets:
    """Signs for any account, with the sequence numbers of each."""

    def __init__(self) -> None:
        self._used: Counter[str] = Counter()

    def sign(self, request: SignRequest, how: Signing, place: Place) -> Signed:
        """Fill in what the request leaves out, and sign. Raises `IllegalActionError` for who may not sign."""
        signer = how.account or _asked(request) or ACCOUNT
        if request.signers and signer not in request.signers:
            raise IllegalActionError("the request names other accounts as its signers")
        if request.tx_type == SIGN_IN and signer == SIGN_IN_ACCOUNT:
            transaction = decode(SIGNED_SIGN_IN)
            return Signed(SIGNED_SIGN_IN, signer, signer, transaction["SigningPubKey"], transaction)
        wallet = wallet_of(signer)
        if request.tx_type == CHANNEL_CLAIM:
            return Signed(wallet.authorize(request.txjson), signer, wallet.address, wallet.public_key, {})
        account = request.txjson.get("Account", signer) if request.multisign else signer
        self._used[account] += 1
        filled = _filled(request, how, place, account=account, sequence=self._used[account])
        blob = wallet.cosign(filled, signer) if request.multisign else wallet.sign(filled)
        address = signer if request.multisign else wallet.address
        written = filled if request.tx_type in OTHER_TYPES else decode(blob)
        return Signed(blob, account, address, wallet.public_key, written)


def check_transaction(transaction: Mapping[str, Any]) -> None:
    """Raises ``ValueError`` for what no wallet could sign, as its binary form cannot say it."""
    whole = _without_pseudo_type(transaction)
    check_writable({name: value for name, value in whole.items() if name != "BatchSigners"})


def read_blob(blob: str) -> Json:
    """The transaction in ``blob``, hexadecimal. Raises ``ValueError``."""
    try:
        return decode(blob)
    except (XRPLException, LookupError, TypeError, ValueError) as error:
        raise ValueError("no transaction in binary form") from error


def _asked(request: SignRequest) -> str | None:
    """Whom the request itself wants to sign."""
    if request.signers:
        return request.signers[0]
    return None if request.multisign else request.txjson.get("Account")


def _filled(request: SignRequest, how: Signing, place: Place, *, account: str, sequence: int) -> Json:
    """The transaction with everything that a wallet adds.

    Source: the wallet's own ``Sign.mixin.ts``, which leaves out the sequence of what several sign, and ledger and
    network of a batch
    """
    own: Json = {"Fee": _FEE, "Flags": 0} | ({} if request.multisign else {"Sequence": sequence})
    if request.tx_type == SIGN_IN:
        return {**own, "Flags": _FULLY_CANONICAL, **_without_pseudo_type(request.txjson), "Account": account}
    asked = {name: value for name, value in request.txjson.items() if name not in _SIGNATURES}
    filled = {**own, **asked, "Account": account}
    if request.tx_type != _BATCH:
        filled["LastLedgerSequence"] = _last_ledger(asked.get("LastLedgerSequence"), place.validated_index)
        if place.network.is_named:
            filled["NetworkID"] = asked.get("NetworkID", place.network.id)
    elif "BatchSigners" in request.txjson:
        filled["BatchSigners"] = _approvals(filled)
    if request.pathfinding and request.tx_type == _PAYMENT:
        filled |= {"SendMax": {**_PATH, "value": "1"}, "Paths": [[_PATH]]}
    if how.delivered is not None:
        filled["Flags"] |= PARTIAL_PAYMENT
    return filled


def _approvals(batch: Json) -> list[Json]:
    """The signatures of all others whose parts are in it. They were asked as payloads or blobs, which hold them."""
    accounts = sorted({part["RawTransaction"]["Account"] for part in batch["RawTransactions"]} - {batch["Account"]})
    return [wallet_of(account).approve(batch, account) for account in accounts]


def _last_ledger(asked: int | None, validated_index: int) -> int:
    """Relative if it is low; any other is never before the wallet's own."""
    if asked is not None and asked < _RELATIVE_BELOW:
        return validated_index + asked
    return max(asked or 0, validated_index + LEDGERS_TO_LIVE)


def _without_pseudo_type(transaction: Mapping[str, Any]) -> Json:
    """Pseudo transactions are of no type of the ledger: what is signed of them has none."""
    return {
        name: value for name, value in transaction.items() if not (name == "TransactionType" and value in PSEUDO_TYPES)
    }
