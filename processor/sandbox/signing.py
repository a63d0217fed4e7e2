"""Signing a sign request, as a wallet does: fill in the transaction, and sign it."""

from collections import Counter
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, JsonValue
from xrpl.constants import XRPLException
from xrpl.core.binarycodec import decode

from processor.sandbox.faults import TEC, Faults
from processor.sandbox.javascript import JsonObject
from processor.sandbox.ledger import PARTIAL_PAYMENT, UNAVAILABLE, Ledger
from processor.sandbox.network import NetworkName
from processor.sandbox.payload import CHANNEL_CLAIM, PSEUDO_TYPES, SIGN_IN, IllegalActionError, SignRequest
from processor.sandbox.wallet import (
    ALICE,
    BOB,
    OTHER_TYPES,
    SIGN_IN_ACCOUNT,
    SIGNED_SIGN_IN,
    check_writable,
    find_wallet,
)
from schemas.text import Account

ACCOUNT: Final = ALICE.address
"""The account that signs unless the options or the request name one."""
LEDGERS_TO_LIVE: Final = 20
_RELATIVE_BELOW: Final = 32570
"""A lower ``LastLedgerSequence`` is relative to the current ledger."""
_BATCH: Final = "Batch"
_PAYMENT: Final = "Payment"
_FULLY_CANONICAL: Final = 0x80000000
_FEE: Final = "12"
_SIGNATURES: Final = frozenset({"SigningPubKey", "TxnSignature", "Signers", "BatchSigners"})
_PATH: Final[JsonObject] = {"currency": "USD", "issuer": BOB.address}
"""The currency of payments with pathfinding."""


class SigningOptions(BaseModel):
    """How to sign; the defaults are the ordinary case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    account: Account | None = None
    """The account that signs; None for the one that the request names, else `ACCOUNT`."""
    result: str = "tesSUCCESS"
    """The node's answer, and the result in the ledger."""
    ledger_result: str | None = None
    """The result in the ledger, where it differs."""
    delivered: JsonValue = None
    """The amount of a partial payment, less than ``Amount``."""
    network: NetworkName | None = None
    """The network of the wallet; None for that of the sandbox's ledger."""
    dispatch_known_after: float = 0
    """Seconds until the API knows the node's answer."""

    def apply(self, faults: Faults) -> "SigningOptions":
        """The options with ``faults`` applied."""
        changes: JsonObject = {}
        if faults.network is not None:
            changes["network"] = faults.network
        if faults.dispatch_late_by is not None:
            changes["dispatch_known_after"] = faults.dispatch_late_by
        if faults.ledger == "tec":
            changes["ledger_result"] = TEC
        if faults.ledger == "unavailable":
            changes["delivered"] = UNAVAILABLE
        return self.model_copy(update=changes)


class SignedBlob(NamedTuple):
    """A signed blob and its signer."""

    hex: str
    account: str
    """The account of the transaction."""
    signer: str
    """The address that signed for the account."""
    public_key: str
    transaction: JsonObject
    """The signed transaction as JSON; empty for a claim on a payment channel."""


class Wallets:
    """Signs for any account, with the sequence numbers of each."""

    def __init__(self) -> None:
        self._used: Counter[str] = Counter()

    def sign(self, request: SignRequest, how: SigningOptions, ledger: Ledger) -> SignedBlob:
        """Fill in the transaction of ``request`` for ``ledger`` and sign it.

        Raises `IllegalActionError` if the signer is not among those that the request names.
        """
        signer = how.account or _find_signer(request) or ACCOUNT
        if request.signers and signer not in request.signers:
            raise IllegalActionError("the request names other accounts as its signers")
        if request.tx_type == SIGN_IN and signer == SIGN_IN_ACCOUNT:
            transaction = decode(SIGNED_SIGN_IN)
            return SignedBlob(SIGNED_SIGN_IN, signer, signer, transaction["SigningPubKey"], transaction)
        wallet = find_wallet(signer)
        if request.tx_type == CHANNEL_CLAIM:
            return SignedBlob(wallet.authorize(request.txjson), signer, wallet.address, wallet.public_key, {})
        account = request.txjson.get("Account", signer) if request.multisign else signer
        self._used[account] += 1
        filled = _fill(request, how, ledger, account=account, sequence=self._used[account])
        blob = wallet.cosign(filled, signer) if request.multisign else wallet.sign(filled)
        address = signer if request.multisign else wallet.address
        written = filled if request.tx_type in OTHER_TYPES else decode(blob)
        return SignedBlob(blob, account, address, wallet.public_key, written)


def check_transaction(transaction: Mapping[str, Any]) -> None:
    """Raises ``ValueError`` for a transaction without a binary form, which no wallet could sign."""
    whole = _strip_pseudo_type(transaction)
    check_writable({name: value for name, value in whole.items() if name != "BatchSigners"})


def read_blob(blob: str) -> JsonObject:
    """The transaction in ``blob``, hexadecimal. Raises ``ValueError`` if there is none."""
    try:
        return decode(blob)
    except (XRPLException, LookupError, TypeError, ValueError) as error:
        raise ValueError("no transaction in binary form") from error


def _find_signer(request: SignRequest) -> str | None:
    """The signer that the request names."""
    if request.signers:
        return request.signers[0]
    return None if request.multisign else request.txjson.get("Account")


def _fill(request: SignRequest, how: SigningOptions, ledger: Ledger, *, account: str, sequence: int) -> JsonObject:
    """The transaction with all fields that a wallet adds.

    Source: the wallet's own ``Sign.mixin.ts``, which adds no sequence to a multisigned transaction, and neither ledger
    nor network to a batch
    """
    own: JsonObject = {"Fee": _FEE, "Flags": 0} | ({} if request.multisign else {"Sequence": sequence})
    if request.tx_type == SIGN_IN:
        return {**own, "Flags": _FULLY_CANONICAL, **_strip_pseudo_type(request.txjson), "Account": account}
    asked = {name: value for name, value in request.txjson.items() if name not in _SIGNATURES}
    filled = {**own, **asked, "Account": account}
    if request.tx_type != _BATCH:
        filled["LastLedgerSequence"] = _compute_last_ledger(asked.get("LastLedgerSequence"), ledger.validated_index)
        if ledger.network.is_named:
            filled["NetworkID"] = asked.get("NetworkID", ledger.network.id)
    elif "BatchSigners" in request.txjson:
        filled["BatchSigners"] = _collect_approvals(filled)
    if request.pathfinding and request.tx_type == _PAYMENT:
        filled |= {"SendMax": {**_PATH, "value": "1"}, "Paths": [[_PATH]]}
    if how.delivered is not None:
        filled["Flags"] |= PARTIAL_PAYMENT
    return filled


def _collect_approvals(batch: JsonObject) -> list[JsonObject]:
    """The signatures of the other accounts of ``batch``, which they gave by payloads of their own."""
    accounts = sorted({part["RawTransaction"]["Account"] for part in batch["RawTransactions"]} - {batch["Account"]})
    return [find_wallet(account).approve(batch, account) for account in accounts]


def _compute_last_ledger(asked: int | None, validated_index: int) -> int:
    """``asked`` ledgers from now if relative; otherwise ``asked``, but at least the wallet's default."""
    if asked is not None and asked < _RELATIVE_BELOW:
        return validated_index + asked
    return max(asked or 0, validated_index + LEDGERS_TO_LIVE)


def _strip_pseudo_type(transaction: Mapping[str, Any]) -> JsonObject:
    """``transaction`` as it is signed: without the type of a pseudo transaction, which the ledger does not know."""
    return {
        name: value for name, value in transaction.items() if not (name == "TransactionType" and value in PSEUDO_TYPES)
    }
