"""The ``data`` of events: the facts, and in ``proof`` what was verified and against what."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.text import Account, CustomMeta, TransactionHash, Uuid

FailReason = Literal["ledger_result", "never_validated", "wrong_network"]
Origin = Literal["webhook", "websocket", "api", "request", "deadline", "ledger"]


class Tolerant(BaseModel):
    """Ignores unknown keys: a reader must accept what a newer sender writes."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class SignData(Tolerant):
    """The data of every event."""

    application: Uuid
    """Xumm's ``application_uuidv4``, which is also the public API key."""
    payload: Uuid
    """Xumm's ``payload_uuidv4``: the sign request."""
    origin: Origin
    """The source: webhook (HMAC verified), websocket or api (TLS), ledger, request (through this service), deadline."""
    user: Uuid | None = None
    """Opaque reference of the user within the application: stable, and not the user token. Null while unknown."""
    asked_of: Account | None = None
    """The account that the request was made for, if through this service. It does not tell who signed."""
    asked_by: str | None = None
    """Who made the request, if through this service: ``service:<name of its key>``, ``user:<account>`` or ``sign-in``.
    A user's request is no order of yours, whatever its identifier, instruction and blob say."""
    custom_meta: CustomMeta | None = None
    """Null while unknown: on a status socket only the last message contains it."""


class SignedData(SignData):
    """The data of a reported signature."""

    txid: TransactionHash | None = None
    """Hash of the signed transaction. Not proven: wait for the resolve event before you deliver anything."""


class ExpiringData(SignData):
    """The data of an event about a payload that expires."""

    expires_at: AwareDatetime | None = None
    """Until when the payload can be opened. A payload that was opened may be resolved later."""


class TokenIssuedData(SignData):
    """The data of an issued user token, without the token."""

    issued_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    """Thirty days after the last signature made with the token."""


class ApiProof(Tolerant):
    """The payload was fetched from Xumm's API."""

    fetched_at: AwareDatetime


class SignatureProof(Tolerant):
    """The signed blob was verified by this service."""

    account: Account
    """The address that is derived from the signing key, or that the signer list acted for."""
    algorithm: Literal["secp256k1", "ed25519", "multisign"]


class LedgerProof(Tolerant):
    """The transaction was found in a validated ledger."""

    node: str
    """Host of the node that answered."""
    ledger_index: int
    result: str
    """The ledger's result code, ``tesSUCCESS`` or ``tec...``."""
    checked_at: AwareDatetime


class Proof(Tolerant):
    """What was verified, how, and against what."""

    api: ApiProof
    signature: SignatureProof | None = None
    ledger: LedgerProof | None = None


class IssuedAmount(Tolerant):
    """An amount of an issued currency."""

    currency: str
    issuer: str
    value: str
    """Decimal text, never a float."""


class MptAmount(Tolerant):
    """An amount of a multi-purpose token."""

    mpt_issuance_id: str
    value: str


Amount = str | IssuedAmount | MptAmount
"""Drops of the network's native currency as text, or an issued amount."""


class ResolveData(SignData):
    """The data of an outcome."""

    proof: Proof
    tx_type: str | None = None
    """``SignIn``, ``Payment``, ...; null if Xumm does not tell."""
    resolved_at: AwareDatetime | None = None
    """When the user signed or rejected, by Xumm's clock."""


class SignedOutcome(ResolveData):
    """The data of the outcome of a signed payload."""

    account: Account
    """The signer."""
    network: str | None = None
    """The network the wallet was on, such as ``MAINNET``."""
    txid: TransactionHash | None = None


class OnLedger(SignedOutcome):
    """The data of the outcome of a payload that was signed for a ledger."""

    txid: TransactionHash


class ValidatedData(OnLedger):
    """The data of a validated transaction."""

    network: str
    delivered_amount: Amount | None = None
    """The received amount, from the ledger's metadata; null if the transaction delivers nothing. Never ``Amount``."""
    amount_unavailable: bool = False
    """Whether the ledger does not tell the received amount, which is then unknown: never take it for paid."""
    destination: Account | None = None
    destination_tag: int | None = None
    fee: str | None = None
    """Drops."""


class FailedData(OnLedger):
    """The data of a transaction that did not succeed."""

    reason: FailReason
    result: str | None = None
    """The ledger's result code where it has one, such as ``tecPATH_DRY``."""
