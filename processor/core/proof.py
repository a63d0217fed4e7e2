"""Proof that somebody signed what was asked: the signed blob, taken apart and held against what Xumm's API claims.

A blob proves which key signed which transaction. That the key may act for the account follows where the account's
address derives from it. Where it does not, the account may have a regular key: a validated ledger proves that of a
transaction, since its hash is the hash of exactly this blob; of what never goes to a ledger the blob proves it not,
and `Signature.unauthorised` says so.

Source: https://xrpl.org/docs/references/protocol/binary-format and
https://xrpl.org/docs/concepts/transactions/transaction-signing
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, NoReturn

from processor.core.asked import MAX_ASKED, differing_field
from processor.core.codec import MAX_BLOB_DIGITS, Json, Unreadable, address_of, decode, message_of
from processor.core.curve import algorithm_of, is_signed
from processor.core.evidence import Doubt, DoubtReason, Signature

MAX_SIGNERS: Final = 32

_TRANSACTION_ID: Final = b"TXN\x00"
_HEX: Final = re.compile(r"(?:[0-9A-F]{2})+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What Xumm's API says of a signature. Empty texts must have become None."""

    blob: str | None = field(repr=False)
    """``response.hex``"""
    txid: str | None
    account: str | None
    tx_type: str
    signer: str | None = None
    signer_pubkey: str | None = None
    multisign_account: str | None = None
    request: Json | None = None
    """``payload.request_json``: what was asked."""
    force_account: bool = False
    """Whether the request's ``Account`` was binding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTransaction:
    """What a blob says, all of it signed."""

    account: str
    """Who signed: the account, or of several signers the one that the API names."""
    signature: Signature
    last_ledger_sequence: int | None
    network_id: int | None
    """Only networks with a number above 1024 have it in their transactions."""


def prove(claim: Claim) -> SignedTransaction | Doubt:
    """The signed transaction, or the first thing that is wrong with it. Takes about 3 ms of CPU."""
    try:
        transaction = _read(claim)
        signers = _signers(transaction)
        acting = _acting(claim, transaction, signers)
        _hold_against_request(claim, transaction)
    except _Doubtful as doubtful:
        return doubtful.doubt
    alone = "Signers" not in transaction
    return SignedTransaction(
        account=acting.account,
        signature=Signature(
            account=acting.key_address if alone else transaction["Account"],
            algorithm=acting.algorithm if alone else "multisign",
            unauthorised=None if acting.key_address == acting.account else acting.key_address,
        ),
        last_ledger_sequence=transaction.get("LastLedgerSequence"),
        network_id=transaction.get("NetworkID"),
    )


class _Signer(NamedTuple):
    account: str
    key: str
    """The public key, hexadecimal."""
    key_address: str
    algorithm: Any


class _Doubtful(Exception):
    def __init__(self, doubt: Doubt) -> None:
        super().__init__()
        self.doubt = doubt


def _doubt(name: str, reason: DoubtReason) -> NoReturn:
    raise _Doubtful(Doubt(field=name, reason=reason))


def _read(claim: Claim) -> Json:
    """The transaction in the blob, which is the one that is claimed, and which the blob is the only form of."""
    if claim.blob is None:
        _doubt("response.hex", "missing")
    blob = claim.blob.upper()
    if len(blob) > MAX_BLOB_DIGITS or not _HEX.fullmatch(blob):
        _doubt("response.hex", "unreadable")
    if claim.txid is not None and transaction_id(blob) != claim.txid:
        _doubt("response.txid", "differs")
    try:
        return decode(blob)
    except Unreadable:
        _doubt("response.hex", "unreadable")


def transaction_id(blob: str) -> str:
    """The hash by which a ledger knows a signed blob, given in hexadecimal."""
    return hashlib.sha512(_TRANSACTION_ID + bytes.fromhex(blob)).digest()[:32].hex().upper()


def _signers(transaction: Json) -> list[_Signer]:
    """Who signed, all of them checked."""
    if not isinstance(transaction.get("Account"), str):
        _doubt("Account", "missing")
    if "Signers" not in transaction:
        return [_checked(transaction, transaction, message_of(transaction))]
    entries = [entry.get("Signer") for entry in transaction["Signers"]]
    if transaction.get("SigningPubKey") or "TxnSignature" in transaction or not 0 < len(entries) <= MAX_SIGNERS:
        _doubt("Signers", "forged")
    signers = [_cosigner(transaction, entry) for entry in entries]
    if len({signer.account for signer in signers}) < len(signers):
        _doubt("Signers", "forged")
    return signers


def _cosigner(transaction: Json, entry: Any) -> _Signer:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("Account"), str):
        _doubt("Signers", "forged")
    return _checked(transaction, entry, message_of(transaction, cosigner=entry["Account"]))


def _checked(transaction: Json, signed: Json, message: bytes) -> _Signer:
    """Of ``signed``, the transaction itself or one of its signers, the signature over ``message``."""
    name = "TxnSignature" if signed is transaction else "Signers"
    key, signature = (bytes.fromhex(signed.get(part) or "") for part in ("SigningPubKey", "TxnSignature"))
    if not is_signed(message, signature, key):
        _doubt(name, "forged")
    return _Signer(
        account=signed["Account"],
        key=key.hex().upper(),
        key_address=address_of(key.hex().upper()),
        algorithm=algorithm_of(key),
    )


def _acting(claim: Claim, transaction: Json, signers: list[_Signer]) -> _Signer:
    """Of those who signed the one whom the API names. What it says of accounts and keys must hold."""
    if claim.multisign_account not in {None, transaction["Account"]}:
        _doubt("response.multisign_account", "differs")
    acting = _named(claim, transaction, signers) if "Signers" in transaction else _sole(claim, signers[0])
    if claim.signer_pubkey is not None and claim.signer_pubkey.upper() != acting.key:
        _doubt("response.signer_pubkey", "differs")
    return acting


def _sole(claim: Claim, signer: _Signer) -> _Signer:
    if claim.account != signer.account:
        _doubt("response.account", "differs")
    if claim.signer not in {None, signer.key_address}:
        _doubt("response.signer", "differs")
    return signer


def _named(claim: Claim, transaction: Json, signers: list[_Signer]) -> _Signer:
    """The API's account is the signer's, or the one that the signers act for; then it must name the signer too."""
    name = claim.signer or claim.account
    acting = next((signer for signer in signers if name in {signer.account, signer.key_address}), None)
    if acting is None:
        _doubt("response.signer", "differs")
    if claim.account not in {acting.account, transaction["Account"]}:
        _doubt("response.account", "differs")
    return acting


def _hold_against_request(claim: Claim, transaction: Json) -> None:
    request = claim.request or {}
    if len(request) > MAX_ASKED:
        _doubt("payload.request_json", "unreadable")
    name = differing_field(claim.tx_type, request, transaction, force_account=claim.force_account)
    if name is not None:
        _doubt(name, "differs")
