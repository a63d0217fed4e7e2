"""The encoding of an event that the lifecycle planned, as a CloudEvent.

The models in ``schemas/events.py`` are the contract. A sign event is written directly, since its values were validated
in the report; a resolve event, on which deliveries and payments depend, is validated against its model.
"""

from datetime import datetime
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import orjson
from pydantic import ValidationError

from processor.core.errors import NormalizeError
from processor.core.payload.ids import event_id
from processor.core.payload.lifecycle import PlannedEvent
from processor.core.payload.state import PayloadState
from processor.core.proof.evidence import Ledger, Snapshot
from processor.core.reports.custom_meta import ensure_portable
from processor.core.reports.report import ORIGINS, TOKEN_LIFE, Report, SnapshotReport, WebhookReport
from schemas.events import MODELS, ResolveName, SignName, parse_event, sequence_text
from schemas.topology import routing_key
from schemas.validation import describe_problems

_DATASCHEMAS: Final = {name: model.model_fields["dataschema"].default for name, model in MODELS.items()}


class EncodedEvent(NamedTuple):
    """One event as it is stored and published."""

    id: str
    type: str
    routing_key: str
    body: bytes
    """The CloudEvent as structured JSON."""


class _Kind(NamedTuple):
    """The parts that all events of one type of one application share."""

    type: str
    fact: str
    routing_key: str
    between_id_and_subject: bytes
    between_sequence_and_data: bytes


def encode(planned: PlannedEvent, state: PayloadState, report: Report) -> EncodedEvent:
    """The encoded ``planned`` event. ``state`` is the state after ``report``.

    Raises `NormalizeError` if a resolve event does not conform to its model.
    """
    kind = _kind(state.app, planned.family, planned.name)
    identifier = event_id(state.application_uuid, state.payload, kind.fact)
    body = b'{"specversion":"1.0","id":"%b%b%b","time":%b,"sequence":"%b%b%b}' % (
        identifier.encode(),
        kind.between_id_and_subject,
        state.payload.encode(),
        _json_of(report.at),
        sequence_text(planned.sequence).encode(),
        kind.between_sequence_and_data,
        orjson.dumps(_data(planned, state, report), option=orjson.OPT_UTC_Z),
    )
    if planned.family == "resolve":
        _check(body, kind.type)
    return EncodedEvent(identifier, kind.type, kind.routing_key, body)


@lru_cache(maxsize=1024)
def _kind(app: str, family: Literal["sign", "resolve"], name: SignName | ResolveName) -> _Kind:
    """Names of applications, types and uuids need no escapes: they were validated in the report."""
    event_type = f"xumm.{family}.{name}"
    return _Kind(
        type=event_type,
        fact=event_type if family == "sign" else "xumm.resolve",
        routing_key=routing_key(app, family, name),
        between_id_and_subject=f'","source":"/xumm/{app}","type":"{event_type}","subject":"'.encode(),
        between_sequence_and_data=(
            f'","datacontenttype":"application/json","dataschema":"{_DATASCHEMAS[event_type]}","data":'.encode()
        ),
    )


@lru_cache(maxsize=64)
def _json_of(moment: datetime) -> bytes:
    """Cached, since webhooks of one batch have the same time."""
    return orjson.dumps(moment, option=orjson.OPT_UTC_Z)


def _check(body: bytes, event_type: str) -> None:
    try:
        parse_event(body)
    except ValidationError as error:
        raise NormalizeError(f"{event_type} would be invalid: {describe_problems(error)}") from None


def _data(planned: PlannedEvent, state: PayloadState, report: Report) -> dict[str, Any]:
    data: dict[str, Any] = {
        "application": state.application_uuid,
        "payload": state.payload,
        "origin": ORIGINS[type(report)],
        "user": state.user,
        "asked_of": state.asked_of,
        "asked_by": state.asked_by,
        "custom_meta": None if state.custom_meta is None else orjson.Fragment(ensure_portable(state.custom_meta)),
    }
    if planned.family == "resolve":
        return data | _resolve_data(planned, state)
    match planned.name:
        case "signed":
            data["txid"] = state.txid
        case "created" | "expired":
            data["expires_at"] = state.expires_at
        case "token_issued":
            data |= _token_data(report)
    return data


def _token_data(report: Report) -> dict[str, Any]:
    token = report.token if isinstance(report, WebhookReport | SnapshotReport) else None
    if token is None:
        return {}
    return {"issued_at": token.issued_at, "expires_at": token.expires_at or report.at + TOKEN_LIFE}


def _resolve_data(planned: PlannedEvent, state: PayloadState) -> dict[str, Any]:
    snapshot = state.snapshot
    assert snapshot is not None  # noqa: S101  SETTLEMENT resolves nothing without a snapshot
    data: dict[str, Any] = {
        "proof": {
            "api": {"fetched_at": snapshot.fetched_at},
            "signature": _signature_proof(snapshot),
            "ledger": _ledger_proof(snapshot, state.ledger),
        },
        "tx_type": snapshot.tx_type,
        "resolved_at": snapshot.resolved_at,
    }
    if snapshot.outcome != "signed":
        return data
    data |= {"account": snapshot.account, "network": snapshot.network, "txid": snapshot.txid}
    match planned.name:
        case "validated":
            return data | _validated_data(state.ledger)
        case "failed":
            ledger = state.ledger if planned.reason == "ledger_result" else None
            return data | {"reason": planned.reason, "result": None if ledger is None else ledger.result}
        case _:
            return data


def _signature_proof(snapshot: Snapshot) -> dict[str, Any] | None:
    signature = snapshot.signature
    return None if signature is None else {"account": signature.account, "algorithm": signature.algorithm}


def _ledger_proof(snapshot: Snapshot, ledger: Ledger | None) -> dict[str, Any] | None:
    if ledger is None or ledger.status != "validated" or ledger.txid != snapshot.txid:
        return None
    return {
        "node": ledger.node,
        "ledger_index": ledger.ledger_index,
        "result": ledger.result,
        "checked_at": ledger.checked_at,
    }


def _validated_data(ledger: Ledger | None) -> dict[str, Any]:
    assert ledger is not None  # noqa: S101  SETTLEMENT validates nothing without a ledger
    return {
        "delivered_amount": ledger.delivered_amount,
        "amount_unavailable": ledger.amount_unavailable,
        "destination": ledger.destination,
        "destination_tag": ledger.destination_tag,
        "fee": ledger.fee,
    }
