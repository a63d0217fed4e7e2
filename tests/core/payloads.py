"""Reports about one payload, as the tests of the core need them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from processor.core.application import Application, PayloadPolicy, Secret
from processor.core.delivery.signature import key_of
from processor.core.payload.state import PayloadState
from processor.core.proof.evidence import Ledger, Snapshot, VerifiedSignature
from processor.core.reports.report import (
    DeadlinePassed,
    LedgerReport,
    LookupAbandoned,
    ReportedToken,
    RequestReport,
    SnapshotReport,
    StatusReport,
    WebhookReport,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
APPLICATION = "8f5b1d3a-0000-4000-8000-00000000a001"
PAYLOAD = "8f5b1d3a-0000-4000-8000-00000000b001"
SECRET = "12345678-90ab-4cde-8f01-234567890abc"
TXID = "AB" * 32
OTHER_TXID = "CD" * 32
ACCOUNT = "rwiETSee2wMz3SBnAG8hkMsCgvGy9LWbZ1"
SIGNATURE = VerifiedSignature(account=ACCOUNT, algorithm="secp256k1")
SHOP = Application(name="shop", uuid=APPLICATION, secrets=(Secret(key=key_of(SECRET)),))
POLICY = PayloadPolicy(network="MAINNET", grace=timedelta(hours=1))
EXPIRY = NOW + timedelta(minutes=10)
UNKNOWN = PayloadState(app="shop", application_uuid=APPLICATION, payload=PAYLOAD)

_IDS: dict[str, Any] = {"app": "shop", "application_uuid": APPLICATION, "payload": PAYLOAD}


def webhook(
    *, signed: bool = True, txid: str | None = TXID, token: ReportedToken | None = None, at: datetime = NOW
) -> WebhookReport:
    return WebhookReport(**_IDS, at=at, signed=signed, txid=txid if signed else None, token=token)


def status(kind: Any, *, at: datetime = NOW, **more: Any) -> StatusReport:
    return StatusReport(**_IDS, at=at, kind=kind, **more)


def request(kind: Any, *, at: datetime = NOW, **more: Any) -> RequestReport:
    return RequestReport(**_IDS, at=at, kind=kind, **more)


def snapshot(outcome: Any = "signed", *, at: datetime = NOW, **more: Any) -> SnapshotReport:
    values: dict[str, Any] = {
        "application": APPLICATION,
        "fetched_at": at,
        "outcome": outcome,
        "opened": outcome in {"signed", "rejected"},
        "tx_type": "Payment",
        "submit": True,
        "expires_at": EXPIRY,
    }
    if outcome == "signed":
        values |= {"account": ACCOUNT, "txid": TXID, "network": "MAINNET", "resolved_at": at, "signature": SIGNATURE}
    return SnapshotReport(**_IDS, at=at, snapshot=Snapshot(**values | more))


def ledger(state: Any = "validated", *, at: datetime = NOW, **more: Any) -> LedgerReport:
    values: dict[str, Any] = {"checked_at": at, "node": "node.example", "status": state, "txid": TXID}
    if state == "validated":
        values |= {"ledger_index": 90_000_000, "result": "tesSUCCESS", "delivered_amount": "1000000", "fee": "12"}
    return LedgerReport(**_IDS, at=at, ledger=Ledger(**values | more))


def deadline(*, at: datetime = EXPIRY) -> DeadlinePassed:
    return DeadlinePassed(**_IDS, at=at)


def abandoned(*, at: datetime = NOW) -> LookupAbandoned:
    return LookupAbandoned(**_IDS, at=at)


def sign_in(**more: Any) -> SnapshotReport:
    report = snapshot("signed", tx_type="SignIn", submit=False, txid=None, **more)
    return replace(report, token=None)
