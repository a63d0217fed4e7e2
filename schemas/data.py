"""What events say in their ``data``: the facts, and in ``proof`` what was verified of them and against what."""

from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict

from schemas.text import Account, CustomMeta, TransactionHash, Uuid

FailReason = Literal["ledger_result", "never_validated", "wrong_network"]
Origin = Literal["webhook", "websocket", "api", "request", "deadline", "ledger"]


class Tolerant(BaseModel):
    """Unknown keys are ignored, not refused: a consumer must survive a producer that is a version ahead of it."""

    model_config = ConfigDict(frozen=True, extra="ignore", use_attribute_docstrings=True)


class SignData(Tolerant):
    """What every event says."""

    application: Uuid
    """Xumm's ``application_uuidv4``, which is also the public API key."""
    payload: Uuid
    """Xumm's ``payload_uuidv4``: the sign request."""
    origin: Origin
    """How this was learned: webhook (HMAC checked), websocket or api (TLS), request (made through this service)."""
    user: Uuid | None = None
    """Opaque reference of the user within the application: stable, and no user token. None while unknown."""
    asked_of: Account | None = None
    """Whom the request was made for, if it was made through this service for somebody. Says nothing of who signed."""
    asked_by: str | None = None
    """By whom it was made, if through this service: ``service:<name of its key>``, ``user:<account>`` or ``sign-in``.
    What a user asked for is no order of yours, whatever its identifier, instruction and blob say."""
    custom_meta: CustomMeta | None = None
    """None while unknown: of the messages on a status socket only the last carries it, which tells the answer."""


class SignedData(SignData):
    """What a signature adds."""

    txid: TransactionHash | None = None
    """Hash of the signed transaction. Reported, not proven: wait for the resolve event before you deliver anything."""


class ExpiringData(SignData):
    """What an expiry adds."""

    expires_at: AwareDatetime | None = None
    """Until when the payload can be opened; an opened one can be resolved later too."""


class TokenIssuedData(SignData):
    """What is told of a user token: never the token."""

    issued_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    """Thirty days after the last signature made with the token."""


class ApiProof(Tolerant):
    """The payload as fetched from Xumm's API."""

    fetched_at: AwareDatetime


class SignatureProof(Tolerant):
    """The signed blob, checked here."""

    account: Account
    """The address that the signing key derives to, or that the signer list acted for."""
    algorithm: Literal["secp256k1", "ed25519", "multisign"]


class LedgerProof(Tolerant):
    """The transaction as found in a validated ledger."""

    node: str
    """Host of the node that was asked."""
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
    """How the payload ended."""

    proof: Proof
    tx_type: str | None = None
    """``SignIn``, ``Payment``, ...; None if Xumm did not say."""
    resolved_at: AwareDatetime | None = None
    """When the user signed or rejected, by Xumm's clock."""


class SignedOutcome(ResolveData):
    """How a signed payload ended."""

    account: Account
    """Who signed."""
    network: str | None = None
    """The network the wallet was on, such as ``MAINNET``."""
    txid: TransactionHash | None = None


class OnLedger(SignedOutcome):
    """How a payload ended that was signed for a ledger."""

    txid: TransactionHash


class ValidatedData(OnLedger):
    """What the ledger holds."""

    network: str
    delivered_amount: Amount | None = None
    """What was received, from the ledger's metadata; None where the transaction delivers nothing. Never ``Amount``."""
    amount_unavailable: bool = False
    """Whether the ledger does not tell what was received: not known, so never to be taken for paid."""
    destination: Account | None = None
    destination_tag: int | None = None
    fee: str | None = None
    """Drops."""


class FailedData(OnLedger):
    """Why it did not succeed."""

    reason: FailReason
    result: str | None = None
    """The ledger's result code where it has one, such as ``tecPATH_DRY``."""
