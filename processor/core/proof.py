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
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, NamedTuple, NoReturn

from processor.core.curve import algorithm_of, is_signed
from processor.core.evidence import OFF_LEDGER_TYPES, Doubt, DoubtReason, Signature

MAX_BLOB_DIGITS: Final = 32 * 1024
"""Hexadecimal digits of a blob: a batch of eight transactions with all its signers has fewer."""
MAX_SIGNERS: Final = 32
MAX_ASKED: Final = 64
"""Fields that a request may name."""

_TRANSACTION_ID: Final = b"TXN\x00"
_HEX: Final = re.compile(r"(?:[0-9A-F]{2})+")
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

Json = Mapping[str, Any]


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


def prepare() -> None:
    """Load what decodes blobs, which takes half a second: better at the start than with the first payload."""
    _codec()


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


class _Codec(NamedTuple):
    decode: Any
    encode: Any
    for_signing: Any
    for_multisigning: Any
    address_of: Any


@cache
def _codec() -> _Codec:
    from xrpl.core import binarycodec
    from xrpl.core.keypairs import derive_classic_address

    return _Codec(
        decode=binarycodec.decode,
        encode=binarycodec.encode,
        for_signing=binarycodec.encode_for_signing,
        for_multisigning=binarycodec.encode_for_multisigning,
        address_of=derive_classic_address,
    )


def _doubt(name: str, reason: DoubtReason) -> NoReturn:
    raise _Doubtful(Doubt(field=name, reason=reason))


def _read(claim: Claim) -> dict[str, Any]:
    """The transaction in the blob, which is the one that is claimed, and which the blob is the only form of."""
    if claim.blob is None:
        _doubt("response.hex", "missing")
    blob = claim.blob.upper()
    if len(blob) > MAX_BLOB_DIGITS or not _HEX.fullmatch(blob):
        _doubt("response.hex", "unreadable")
    if claim.txid is not None and transaction_id(blob) != claim.txid:
        _doubt("response.txid", "differs")
    try:
        transaction = _codec().decode(blob)
        again = _codec().encode(transaction)
    except Exception:  # noqa: BLE001  KeyError, IndexError, RecursionError and others, at whatever is no blob
        _doubt("response.hex", "unreadable")
    if again != blob:
        _doubt("response.hex", "unreadable")
    return dict(transaction)


def transaction_id(blob: str) -> str:
    """The hash by which a ledger knows a signed blob, given in hexadecimal."""
    return hashlib.sha512(_TRANSACTION_ID + bytes.fromhex(blob)).digest()[:32].hex().upper()


def _signers(transaction: Json) -> list[_Signer]:
    """Who signed, all of them checked."""
    if not isinstance(transaction.get("Account"), str):
        _doubt("Account", "missing")
    if "Signers" not in transaction:
        return [_checked(transaction, transaction, bytes.fromhex(_codec().for_signing(transaction)))]
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
    return _checked(transaction, entry, bytes.fromhex(_codec().for_multisigning(transaction, entry["Account"])))


def _checked(transaction: Json, signed: Json, message: bytes) -> _Signer:
    """Of ``signed``, the transaction itself or one of its signers, the signature over ``message``."""
    name = "TxnSignature" if signed is transaction else "Signers"
    key, signature = (bytes.fromhex(signed.get(part) or "") for part in ("SigningPubKey", "TxnSignature"))
    if not is_signed(message, signature, key):
        _doubt(name, "forged")
    return _Signer(
        account=signed["Account"],
        key=key.hex().upper(),
        key_address=_codec().address_of(key.hex().upper()),
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
    """The transaction has the type that was asked for, and each field as it was asked for."""
    tx_type = transaction.get("TransactionType")
    if tx_type != claim.tx_type and not (tx_type is None and claim.tx_type in OFF_LEDGER_TYPES):
        _doubt("TransactionType", "differs")
    request = claim.request or {}
    if len(request) > MAX_ASKED:
        _doubt("payload.request_json", "unreadable")
    if _lacks_flags(request, transaction):
        _doubt("Flags", "differs")
    for name, value in _binding(claim, request):
        if any(transaction.get(part) != asked for part, asked in _as_signed(name, value).items()):
            _doubt(name, "differs")


def _binding(claim: Claim, request: Json) -> Iterator[tuple[str, Any]]:
    """What the wallet had to keep to."""
    for name, value in request.items():
        pseudo = name == "TransactionType" and value == claim.tx_type and claim.tx_type in OFF_LEDGER_TYPES
        free = name in _LEFT_TO_THE_WALLET and not (name == "Account" and claim.force_account)
        if value not in _NOTHING_ASKED and not pseudo and not free:
            yield name, value


def _as_signed(name: str, value: Any) -> Json:
    """A field of a request as a decoded blob has it: an X-address, for one, becomes an address and a tag.

    Empty if there is no such field in any transaction.
    """
    whole = isinstance(value, int) and not isinstance(value, bool) and name == "Amount"
    try:
        fields: Json = _codec().decode(_codec().encode({name: str(value) if whole else value}))
    except Exception as error:  # noqa: BLE001  as above
        return {} if isinstance(error, KeyError) and error.args == (name,) else {name: value}
    return fields


def _lacks_flags(request: Json, transaction: Json) -> bool:
    """Whether a flag that was asked for by number is not set. A wallet may set more."""
    asked = request.get("Flags")
    if not isinstance(asked, int) or isinstance(asked, bool):
        return False
    signed: int = transaction.get("Flags", 0)
    return asked & signed != asked
