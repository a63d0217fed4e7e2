"""Wire shapes to reports: one parser for each source."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from processor.core.application import Application
from processor.core.delivery.authentication import Delivery
from processor.core.errors import NormalizeError
from processor.core.proof.evidence import Doubt, Ledger, Snapshot, SnapshotOutcome
from processor.core.proof.networks import network_names
from processor.core.proof.signed_blob import Claim, SignedTransaction, prove
from processor.core.reports.custom_meta import carry
from processor.core.reports.report import LedgerReport, SnapshotReport, StatusReport, Token, WebhookReport
from processor.core.reports.salvage import read
from schemas.data import Amount
from schemas.ledger import Transaction
from schemas.payload import Payload
from schemas.status import Status
from schemas.text import aware
from schemas.validation import describe_problems
from schemas.webhook import WEBHOOK, Naming, UserToken, Webhook

_amount: Final[TypeAdapter[Amount]] = TypeAdapter(Amount)
_FINAL_RESULT: Final = re.compile(r"tesSUCCESS|tec[A-Z0-9_]{1,60}")
"""Source: https://xrpl.org/docs/references/protocol/transactions/transaction-results"""
_DELIVERING: Final = (None, "Payment")
_UNAVAILABLE: Final = "unavailable"
"""Source: https://xrpl.org/docs/concepts/payment-types/partial-payments#the-delivered_amount-field"""
_MISADDRESSED: Final = "meta.application_uuidv4 is not the application that the webhook was posted for"
Model = TypeVar("Model", bound=BaseModel)


def webhook_report(delivery: Delivery) -> WebhookReport:
    """What an authentic webhook says. Raises `NormalizeError` if it contradicts itself or makes no sense."""
    application = delivery.application
    webhook = _webhook(application, delivery.body)
    response = webhook["payloadResponse"]
    return WebhookReport(
        application.name,
        application.uuid,
        response["payload_uuidv4"],
        delivery.received_at,
        response["signed"],
        response.get("txid"),
        _token(webhook.get("userToken")),
        carry(webhook.get("custom_meta")),
    )


def named_payload(application: Application, body: bytes) -> str:
    """The payload that an authentic body is about, whatever else it says. Raises `NormalizeError`."""
    meta = _parse(Naming, body).meta
    if meta.application_uuidv4 != application.uuid:
        raise NormalizeError(_MISADDRESSED)
    return meta.payload_uuidv4


def status_report(application: Application, payload: str, text: str | bytes, at: datetime) -> StatusReport | None:
    """What a WebSocket message says, or None if it says nothing about the payload. Raises `NormalizeError`."""
    status = _parse(Status, text)
    if status.payload_uuidv4 is not None and status.payload_uuidv4 != payload:
        raise NormalizeError("payload_uuidv4 is not the payload that is watched")
    said = {kind: says(status) for kind, says in _STATUS_KINDS.items()}
    kind = next((kind for kind, value in said.items() if value), None)
    if kind is None:
        return None
    seconds = status.expires_in_seconds
    return StatusReport(
        app=application.name,
        application=application.uuid,
        payload=payload,
        at=at,
        kind=kind,
        txid=status.txid,
        expires_at=None if seconds is None else at + timedelta(seconds=max(-_YEAR, min(seconds, _YEAR))),
        custom_meta=carry(status.custom_meta),
    )


def snapshot_report(application: Application, payload: str, body: bytes, at: datetime) -> SnapshotReport:
    """What Xumm's API says of ``payload``, with the signature checked: 0.5 ms of CPU. Raises `NormalizeError`."""
    answer = _parse(Payload, body)
    if not answer.meta.exists or answer.meta.uuid != payload:
        raise NormalizeError("meta.uuid is not the payload that was asked for, or it does not exist")
    token = answer.application.issued_user_token
    return SnapshotReport(
        app=application.name,
        application=application.uuid,
        payload=payload,
        at=at,
        snapshot=_snapshot(answer, at),
        token=None if token is None else Token(value=token),
        custom_meta=carry(answer.custom_meta),
    )


def ledger_report(
    application: Application, payload: str, txid: str, result: dict[str, Any], *, node: str, at: datetime
) -> LedgerReport:
    """What a node's ``tx`` answer says of transaction ``txid``. Raises `NormalizeError`."""
    tx_json = result.get("tx_json")
    transaction = _validate(Transaction, {**result, **tx_json} if isinstance(tx_json, dict) else result)
    if transaction.hash != txid:
        raise NormalizeError("hash is not the transaction that was asked for")
    return LedgerReport(
        app=application.name,
        application=application.uuid,
        payload=payload,
        at=at,
        ledger=_ledger(transaction, node=node, at=at),
    )


def _webhook(application: Application, body: bytes) -> Webhook:
    try:
        webhook: Webhook = read(WEBHOOK.validator.validate_json, body)
    except ValidationError as error:
        raise NormalizeError(describe_problems(error)) from None
    meta = webhook["meta"]
    if meta["application_uuidv4"] != application.uuid:
        raise NormalizeError(_MISADDRESSED)
    if meta["payload_uuidv4"] != webhook["payloadResponse"]["payload_uuidv4"]:
        raise NormalizeError("meta.payload_uuidv4 and payloadResponse.payload_uuidv4 differ")
    return webhook


_YEAR: Final = 366 * 24 * 3600
_STATUS_KINDS: Final[dict[Any, Callable[[Status], bool]]] = {
    "signed": lambda status: status.signed is True and status.payload_uuidv4 is not None,
    "rejected": lambda status: status.signed is False and status.payload_uuidv4 is not None,
    "expired": lambda status: status.expired is True,
    "dispatched": lambda status: status.dispatched is True,
    "pre_signed": lambda status: status.pre_signed is True,
    "opened": lambda status: status.opened is True,
    "alive": lambda status: status.expires_in_seconds is not None,
}


def _snapshot(answer: Payload, at: datetime) -> Snapshot:
    meta, request, response = answer.meta, answer.payload, answer.response
    outcome = _outcome(answer)
    if outcome == "signed" and response.account is None:
        raise NormalizeError("response.account is missing from a signed payload")
    if outcome == "expired" and request.expires_at is None:
        raise NormalizeError("payload.expires_at is missing from an expired payload")
    proof = prove(_claim(answer)) if outcome == "signed" else None
    signed = proof if isinstance(proof, SignedTransaction) else None
    signed_for = None if signed is None else signed.network_id
    networks = network_names(response.nodetypes, (response.environment_networkid, signed_for))
    return Snapshot(
        application=answer.application.uuidv4,
        fetched_at=at,
        outcome=outcome,
        opened=meta.app_opened,
        tx_type=request.tx_type,
        submit=meta.submit and not meta.multisign and not (signed is not None and signed.cosigned),
        account=response.account if signed is None else signed.account,
        txid=response.txid,
        signature=None if signed is None else signed.signature,
        doubt=proof if isinstance(proof, Doubt) else None,
        last_ledger_sequence=None if signed is None else signed.last_ledger_sequence,
        network=next(iter(networks), None),
        networks_disagree=len(networks) > 1,
        resolved_at=aware(response.resolved_at),
        expires_at=aware(request.expires_at),
    )


def _claim(answer: Payload) -> Claim:
    response = answer.response
    return Claim(
        blob=response.hex,
        txid=response.txid,
        account=response.account,
        tx_type=answer.payload.tx_type,
        signer=response.signer,
        signer_pubkey=response.signer_pubkey,
        multisign_account=response.multisign_account,
        request=answer.payload.request_json,
        force_account=answer.meta.force_account is True,
        network=next(iter(network_names(response.nodetypes, (response.environment_networkid,))), None),
    )


def _outcome(answer: Payload) -> SnapshotOutcome:
    """The flags are not exclusive: a late signature or rejection leaves those before it standing, and counts."""
    meta = answer.meta
    if meta.signed and not meta.resolved:
        raise NormalizeError("meta.signed contradicts meta.resolved")
    if meta.signed:
        return "signed"
    over = meta.cancelled or meta.expired
    if meta.resolved and (answer.response.resolved_at is not None or not over):
        return "rejected"
    if meta.cancelled:
        return "cancelled"
    return "expired" if over else "open"


def _ledger(transaction: Transaction, *, node: str, at: datetime) -> Ledger:
    meta = transaction.meta
    if not transaction.validated:
        return Ledger(checked_at=at, node=node, status="pending", txid=transaction.hash)
    if meta is None or transaction.ledger_index is None:
        raise NormalizeError("meta or ledger_index is missing from a validated transaction")
    if not _FINAL_RESULT.fullmatch(meta.result):
        raise NormalizeError("meta.TransactionResult is none that a validated transaction can have")
    if meta.delivered_amount is None and meta.result == "tesSUCCESS" and transaction.transaction_type in _DELIVERING:
        raise NormalizeError("meta.delivered_amount is missing from a payment")
    unavailable = meta.delivered_amount == _UNAVAILABLE
    return Ledger(
        checked_at=at,
        node=node,
        status="validated",
        txid=transaction.hash,
        ledger_index=transaction.ledger_index,
        result=meta.result,
        delivered_amount=None if unavailable else _delivered(meta.delivered_amount),
        amount_unavailable=unavailable,
        destination=transaction.destination,
        destination_tag=transaction.destination_tag,
        fee=transaction.fee,
    )


def _delivered(amount: Any) -> str | dict[str, Any] | None:
    """An amount is text or an object of texts. A number is refused: it may have been rounded on its way."""
    if amount is None:
        return None
    try:
        valid = _amount.validate_json(orjson.dumps(amount), strict=True)
    except (ValidationError, orjson.JSONEncodeError) as error:
        raise NormalizeError("meta.delivered_amount is neither drops as text nor an issued amount") from error
    if isinstance(valid, str):
        if not valid.isascii() or not valid.isdigit():
            raise NormalizeError("meta.delivered_amount is not a whole number of drops")
        return valid
    return valid.model_dump()


def _token(token: UserToken | None) -> Token | None:
    value = None if token is None else token.get("user_token")
    if token is None or value is None:
        return None
    return Token(value, aware(token.get("token_issued")), aware(token.get("token_expiration")))


def _parse(model: type[Model], body: str | bytes) -> Model:
    try:
        return read(model.model_validate_json, body)
    except ValidationError as error:
        raise NormalizeError(describe_problems(error)) from None


def _validate(model: type[Model], value: object) -> Model:
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise NormalizeError(describe_problems(error)) from None
