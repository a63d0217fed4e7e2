"""What is published: an announcement of the lifecycle becomes a CloudEvent and a message."""

from datetime import timedelta
from typing import Any, Final

from processor.core.evidence import Ledger, Snapshot
from processor.core.identity import event_id
from processor.core.lifecycle import Announcement
from processor.core.report import (
    DeadlinePassed,
    LedgerReport,
    LookupAbandoned,
    Report,
    RequestReport,
    SnapshotReport,
    StatusReport,
    WebhookReport,
)
from processor.core.state import PayloadState
from schemas.events import MODELS, CloudEvent, Origin, sequence_text
from schemas.topology import routing_key

_ORIGINS: Final[dict[type[Any], Origin]] = {
    WebhookReport: "webhook",
    StatusReport: "websocket",
    SnapshotReport: "api",
    LedgerReport: "ledger",
    RequestReport: "request",
    DeadlinePassed: "deadline",
    LookupAbandoned: "deadline",
}
TOKEN_LIFE: Final = timedelta(days=30)
"""How long a user token stays valid after the last signature made with it."""


def event_of(announcement: Announcement, state: PayloadState, report: Report) -> CloudEvent:
    """The event that ``announcement`` stands for. ``state`` is the one after ``report``."""
    event_type = f"xumm.{announcement.family}.{announcement.name}"
    fact = event_type if announcement.family == "sign" else "xumm.resolve"
    model: Any = MODELS[event_type]
    event: CloudEvent = model(
        id=event_id(state.application, state.payload, fact),
        source=f"/xumm/{state.app}",
        subject=state.payload,
        time=report.at,
        sequence=sequence_text(announcement.sequence),
        data=_data(announcement, state, report),
    )
    return event


def routing_key_of(announcement: Announcement, state: PayloadState) -> str:
    """``<app>.<family>.<name>``."""
    return routing_key(state.app, announcement.family, announcement.name)


def _data(announcement: Announcement, state: PayloadState, report: Report) -> dict[str, Any]:
    data: dict[str, Any] = {
        "application": state.application,
        "payload": state.payload,
        "origin": _ORIGINS[type(report)],
        "user": state.user,
        "custom_meta": state.custom_meta,
    }
    if announcement.family == "resolve":
        return data | _resolve_data(announcement, state)
    match announcement.name:
        case "signed":
            return data | {"txid": state.txid}
        case "created" | "expired":
            return data | {"expires_at": state.expires_at}
        case "token_issued":
            return data | _token_data(report)
        case _:
            return data


def _token_data(report: Report) -> dict[str, Any]:
    token = report.token if isinstance(report, WebhookReport | SnapshotReport) else None
    if token is None:
        return {}
    return {"issued_at": token.issued_at, "expires_at": token.expires_at or report.at + TOKEN_LIFE}


def _resolve_data(announcement: Announcement, state: PayloadState) -> dict[str, Any]:
    snapshot = state.snapshot
    assert snapshot is not None  # noqa: S101  SETTLEMENT resolves nothing without a snapshot
    data: dict[str, Any] = {
        "proof": {"api": {"fetched_at": snapshot.fetched_at}, "ledger": _ledger_proof(snapshot, state.ledger)},
        "tx_type": snapshot.tx_type,
        "resolved_at": snapshot.resolved_at,
    }
    if snapshot.outcome != "signed":
        return data
    data |= {"account": snapshot.account, "network": snapshot.network, "txid": snapshot.txid}
    match announcement.name:
        case "validated":
            return data | _validated_data(state.ledger)
        case "failed":
            return data | _failed_data(state.ledger)
        case _:
            return data


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
        "destination": ledger.destination,
        "destination_tag": ledger.destination_tag,
        "fee": ledger.fee,
    }


def _failed_data(ledger: Ledger | None) -> dict[str, Any]:
    if ledger is None or ledger.status == "pending":
        return {"reason": "wrong_network"}
    if ledger.status == "never_validated":
        return {"reason": "never_validated"}
    return {"reason": "ledger_result", "result": ledger.result}
