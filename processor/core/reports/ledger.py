"""A ledger node's answer to ``tx``, to a report."""

import re
from datetime import datetime
from typing import Any, Final

import orjson
from pydantic import TypeAdapter, ValidationError

from processor.core.application import Application
from processor.core.errors import NormalizeError
from processor.core.proof.evidence import Ledger
from processor.core.reports.report import LedgerReport
from schemas.data import Amount
from schemas.ledger import Transaction
from schemas.validation import describe_problems

_amount: Final[TypeAdapter[Amount]] = TypeAdapter(Amount)
_FINAL_RESULT: Final = re.compile(r"tesSUCCESS|tec[A-Z0-9_]{1,60}")
"""Source: https://xrpl.org/docs/references/protocol/transactions/transaction-results"""
_DELIVERING: Final = (None, "Payment")
_UNAVAILABLE: Final = "unavailable"
"""Source: https://xrpl.org/docs/concepts/payment-types/partial-payments#the-delivered_amount-field"""


def ledger_report(
    application: Application, payload: str, txid: str, result: dict[str, Any], *, node: str, at: datetime
) -> LedgerReport:
    """The report in ``result``, which ``node`` answered to ``tx`` for ``txid``. Raises `NormalizeError`."""
    tx_json = result.get("tx_json")
    try:
        transaction = Transaction.model_validate({**result, **tx_json} if isinstance(tx_json, dict) else result)
    except ValidationError as error:
        raise NormalizeError(describe_problems(error)) from None
    if transaction.hash != txid:
        raise NormalizeError("hash is not the transaction that was asked for")
    return LedgerReport(
        app=application.name,
        application_uuid=application.uuid,
        payload=payload,
        at=at,
        ledger=_build_ledger(transaction, node=node, at=at),
    )


def _build_ledger(transaction: Transaction, *, node: str, at: datetime) -> Ledger:
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
        delivered_amount=None if unavailable else _parse_amount(meta.delivered_amount),
        amount_unavailable=unavailable,
        destination=transaction.destination,
        destination_tag=transaction.destination_tag,
        fee=transaction.fee,
    )


def _parse_amount(amount: Any) -> str | dict[str, Any] | None:
    """Text or an object of texts. Raises `NormalizeError` for a number, which a JSON reader may have rounded."""
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
