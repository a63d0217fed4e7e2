"""The proof of a signature: the signed blob is parsed, verified, and compared with Xumm's claims and with the request.

A blob proves which key signed which transaction. The key is authorised for the account if the account's address is
derived from it. Otherwise it may be a regular key of the account: for a transaction, a validated ledger proves that,
since the transaction's hash is the hash of exactly this blob. For a signature that never goes to a ledger the blob does
not prove it, and `VerifiedSignature.unauthorised` names the key.

Source: https://xrpl.org/docs/references/protocol/binary-format and
https://xrpl.org/docs/concepts/transactions/transaction-signing
"""

import hashlib
import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from processor.core.proof.codec import MAX_BLOB_DIGITS, Json, address_of, address_of_id
from processor.core.proof.curve import Algorithm, algorithm_of, is_signed
from processor.core.proof.definitions import definitions_of
from processor.core.proof.evidence import CHANNEL_CLAIM, DoubtFound, SignatureDoubt, VerifiedSignature, fail
from processor.core.proof.networks import network_names
from processor.core.proof.request_match import difference
from processor.core.proof.serialized import (
    ACCOUNT,
    LAST_LEDGER_SEQUENCE,
    MASTER_SIGNATURE,
    NETWORK_ID,
    SIGNER,
    SIGNERS,
    SIGNING_PUB_KEY,
    TXN_SIGNATURE,
    Field,
    Malformed,
    Serialized,
    parse_serialized,
)

MAX_SIGNERS: Final = 32

_TRANSACTION_ID: Final = b"TXN\x00"
_FOR_SIGNING: Final = b"STX\x00"
_FOR_MULTISIGNING: Final = b"SMT\x00"
_FOR_CLAIMING: Final = b"CLM\x00"
_HEX: Final = re.compile(r"(?:[0-9A-F]{2})+")
_CHANNEL: Final = re.compile(r"[0-9A-Fa-f]{64}")
_DROPS: Final = re.compile(r"[0-9]{1,19}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SignatureClaim:
    """The claims of Xumm's API about a signature. Empty texts must have become None."""

    blob: str | None = field(repr=False)
    """``response.hex``"""
    txid: str | None
    account: str | None
    """The account that the transaction acts for."""
    tx_type: str
    signer: str | None = None
    """The signer: an account, or the address of its key."""
    signer_pubkey: str | None = None
    multisign_account: str | None = None
    """The signer, for an account with several signers; None or the account if the account signed itself."""
    request: Json | None = None
    """``payload.request_json``: the requested transaction."""
    force_account: bool = False
    """Whether the request's ``Account`` was binding; for several signers it always is."""
    network: str | None = None
    """The network that the wallet was on; None if the API does not tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedTransaction:
    """The signed content of a blob."""

    account: str
    """The signer: the account, or the one of several signers that the API names."""
    signature: VerifiedSignature
    last_ledger_sequence: int | None
    network_id: int | None
    """Only networks with a number above 1024 have it in their transactions."""

    @property
    def cosigned(self) -> bool:
        """Whether it was signed for an account with several signers: the wallet does not submit such a transaction."""
        return self.signature.algorithm == "multisign"


def prove(claim: SignatureClaim) -> SignedTransaction | SignatureDoubt:
    """The signed transaction, or the first doubt about it.

    The signatures are verified before any field is read whose meaning differs from chain to chain: so an unreadable
    transaction is reported as forged only if it is.
    """
    try:
        blob = _parse_hex(claim)
        if claim.tx_type == CHANNEL_CLAIM:
            return _prove_channel_claim(claim, blob)
        transaction = _parse_transaction(blob)
        signers = _verify_signers(transaction)
        acting = _find_signer(claim, transaction, signers)
        _compare_with_request(claim, transaction)
    except DoubtFound as found:
        return found.doubt
    several = transaction.field(SIGNERS) is not None
    return SignedTransaction(
        account=acting.account,
        signature=VerifiedSignature(
            account=_address(transaction) if several else acting.key_address,
            algorithm="multisign" if several else acting.algorithm,
            unauthorised=None if acting.key_address == acting.account else acting.key_address,
        ),
        last_ledger_sequence=transaction.number(LAST_LEDGER_SEQUENCE),
        network_id=transaction.number(NETWORK_ID),
    )


class _Signer(NamedTuple):
    account: str
    key: str
    """The public key, hexadecimal."""
    key_address: str
    algorithm: Algorithm


def _parse_hex(claim: SignatureClaim) -> bytes:
    """The bytes of the blob, after a check of the claimed hash. A claim on a payment channel has none."""
    if claim.blob is None:
        fail("response.hex", "missing")
    digits = claim.blob.upper()
    if len(digits) > MAX_BLOB_DIGITS or not _HEX.fullmatch(digits):
        fail("response.hex", "unreadable")
    if claim.txid not in {None, transaction_id(digits)} and claim.tx_type != CHANNEL_CLAIM:
        fail("response.txid", "differs")
    return bytes.fromhex(digits)


def transaction_id(blob: str) -> str:
    """The hash under which a ledger lists a signed blob, given in hexadecimal."""
    return hashlib.sha512(_TRANSACTION_ID + bytes.fromhex(blob)).digest()[:32].hex().upper()


def _parse_transaction(blob: bytes) -> Serialized:
    try:
        return parse_serialized(blob)
    except Malformed:
        fail("response.hex", "unreadable")


def _address(signed: Serialized | Field) -> str:
    """The account of a transaction, or of one of its signers."""
    account = signed.get(ACCOUNT)
    if not account:
        fail("Account" if isinstance(signed, Serialized) else "Signers", "missing")
    return address_of_id(account)


def _verify_signers(transaction: Serialized) -> list[_Signer]:
    _address(transaction)
    if transaction.field(MASTER_SIGNATURE) is not None:
        fail("response.hex", "forged")  # no signature covers this field, and no transaction has it
    several = transaction.field(SIGNERS)
    if several is None:
        return [_verify_signer(transaction, _FOR_SIGNING + transaction.signed)]
    if transaction.get(SIGNING_PUB_KEY) != b"" or transaction.get(TXN_SIGNATURE) is not None:
        fail("Signers", "forged")
    accounts = {entry.get(ACCOUNT) for entry in several.inner}
    if not 0 < len(accounts) == len(several.inner) <= MAX_SIGNERS:
        fail("Signers", "forged")
    return [_verify_cosigner(transaction, entry) for entry in several.inner]


def _verify_cosigner(transaction: Serialized, entry: Field) -> _Signer:
    if entry.id != SIGNER or {each.id for each in entry.inner} != {ACCOUNT, SIGNING_PUB_KEY, TXN_SIGNATURE}:
        fail("Signers", "forged")
    _address(entry)
    return _verify_signer(entry, _FOR_MULTISIGNING + transaction.signed + (entry.get(ACCOUNT) or b""))


def _verify_signer(signed: Serialized | Field, message: bytes) -> _Signer:
    """The signer of ``signed``, a transaction or one of its signers, whose signature is over ``message``."""
    key = signed.get(SIGNING_PUB_KEY) or b""
    algorithm = algorithm_of(key)
    if algorithm is None or not is_signed(message, signed.get(TXN_SIGNATURE) or b"", key):
        fail("TxnSignature" if isinstance(signed, Serialized) else "Signers", "forged")
    return _Signer(account=_address(signed), key=key.hex().upper(), key_address=address_of(key), algorithm=algorithm)


def _find_signer(claim: SignatureClaim, transaction: Serialized, signers: list[_Signer]) -> _Signer:
    """The signer that the API names. Its claims about accounts and keys must hold."""
    if claim.account != _address(transaction):
        fail("response.account", "differs")
    acting = _find_named(claim, signers)
    if claim.signer not in {None, acting.account, acting.key_address}:
        fail("response.signer", "differs")
    if claim.multisign_account not in {None, acting.account, claim.account}:
        fail("response.multisign_account", "differs")
    if claim.signer_pubkey is not None and claim.signer_pubkey.upper() != acting.key:
        fail("response.signer_pubkey", "differs")
    return acting


def _find_named(claim: SignatureClaim, signers: list[_Signer]) -> _Signer:
    """The signer that the API names; `_find_signer` checks that all names are of this signer."""
    names = {claim.signer, claim.multisign_account, (claim.signer_pubkey or "").upper()} - {None, claim.account, ""}
    if len(signers) > 1 and not names:
        fail("response.signer", "missing")
    named = (signer for signer in signers if names & {signer.account, signer.key_address, signer.key})
    return next(named, signers[0])


def _compare_with_request(claim: SignatureClaim, transaction: Serialized) -> None:
    """Compare by the definitions of the network that the transaction names, else of the one that the API names."""
    signed_for = network_names([], [transaction.number(NETWORK_ID)])
    network = next(iter(signed_for), claim.network)
    doubt = difference(
        claim.tx_type,
        claim.request,
        transaction,
        definitions_of(network),
        force_account=claim.force_account or transaction.field(SIGNERS) is not None,
    )
    if doubt is not None:
        raise DoubtFound(doubt)


def _prove_channel_claim(claim: SignatureClaim, signature: bytes) -> SignedTransaction:
    """A claim on a payment channel is no transaction: its blob is the signature alone.

    Source: https://xrpl.org/docs/references/http-websocket-apis/public-api-methods/payment-channel-methods
    """
    request, key = claim.request or {}, bytes.fromhex(claim.signer_pubkey or "")
    channel, amount = str(request.get("Channel")), str(request.get("Amount"))
    if not _CHANNEL.fullmatch(channel) or not _DROPS.fullmatch(amount):
        fail("payload.request_json", "unreadable")
    algorithm = algorithm_of(key)
    if algorithm is None or claim.account is None:
        fail("response.signer_pubkey", "missing")
    if not is_signed(_FOR_CLAIMING + bytes.fromhex(channel) + int(amount).to_bytes(8), signature, key):
        fail("response.hex", "forged")
    address = address_of(key)
    if claim.signer not in {None, claim.account, address}:
        fail("response.signer", "differs")
    return SignedTransaction(
        account=claim.account,
        signature=VerifiedSignature(
            account=address, algorithm=algorithm, unauthorised=None if address == claim.account else address
        ),
        last_ledger_sequence=None,
        network_id=None,
    )
