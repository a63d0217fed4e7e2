"""Entries and answers as the store gets them."""

from datetime import UTC, datetime, timedelta
from typing import get_args
from uuid import UUID

from processor.core.application import PayloadPolicy
from processor.core.payload.due_task import Lane
from processor.core.payload.entry import DeliveryRecord, Quarantined, Refused, Reported
from processor.core.payload.lifecycle import TaskKind
from processor.core.proof.evidence import Ledger, Snapshot, VerifiedSignature
from processor.core.reports.report import (
    DeadlinePassed,
    LedgerReport,
    Report,
    ReportedToken,
    RequestReport,
    SnapshotReport,
    StatusReport,
    WebhookReport,
)
from schemas.text import CustomMeta

APP = "shop"
APPLICATION = str(UUID(int=7, version=4))
NOW = datetime(2026, 3, 14, 15, 9, 26, 535897, tzinfo=UTC)
TXID = "A5" * 32
ACCOUNT = "rPEPPER7kfTD9w2To4CQk6UCfuHM9c6GDY"
ODD = CustomMeta(identifier="order \0 17", blob={"big": 2**70, "\0": [None, 1.5, {}]}, instruction="Zahl 5 €")


def payload(number: int) -> str:
    """A payload uuid for each number."""
    return str(UUID(int=number, version=4))


def rooms(room: int, *apps: str) -> dict[Lane, int]:
    """So much room for each kind of task of ``apps``, by default of `APP`."""
    return {(app, kind): room for app in apps or (APP,) for kind in get_args(TaskKind)}


def delivery(number: int, *, verdict: str = "accepted", app: str = APP, at: datetime = NOW) -> DeliveryRecord:
    """One line of the delivery log."""
    return DeliveryRecord(
        received_at=at,
        app=app,
        payload=payload(number),
        attempt=1,
        verdict=verdict,
        latency_us=1234,
    )


def reported(report: Report, *, delivered: bool = False) -> Reported:
    """An entry without a delivery, or with one."""
    line = delivery(int(UUID(report.payload)) & 0xFFFFFFFF, app=report.app) if delivered else None
    return Reported(report=report, policy=PayloadPolicy(), delivery=line, traceparent="00-ab-cd-01")


def webhook(number: int, *, signed: bool = True, app: str = APP, at: datetime = NOW) -> Reported:
    """A webhook about a payload."""
    report = WebhookReport(
        app=app,
        application_uuid=APPLICATION,
        payload=payload(number),
        at=at,
        signed=signed,
        txid=TXID if signed else None,
        token=ReportedToken(value=payload(1), issued_at=at),
        custom_meta=ODD.model_dump_json().encode(),
    )
    return reported(report, delivered=True)


def status(number: int, kind: str, *, app: str = APP, expires_at: datetime | None = None) -> Reported:
    """A message on a payload's socket."""
    return reported(
        StatusReport(
            app=app, application_uuid=APPLICATION, payload=payload(number), at=NOW, kind=kind, expires_at=expires_at
        )
    )


def created(number: int, expires_at: datetime, *, at: datetime = NOW) -> Reported:
    """A payload that was created through the service."""
    return reported(
        RequestReport(
            app=APP, application_uuid=APPLICATION, payload=payload(number), at=at, kind="created", expires_at=expires_at
        )
    )


def deadline(number: int, *, at: datetime = NOW) -> Reported:
    """A moment came that somebody had waited for."""
    return reported(DeadlinePassed(app=APP, application_uuid=APPLICATION, payload=payload(number), at=at))


def still_open(number: int, expires_at: datetime, *, at: datetime = NOW) -> Reported:
    """What Xumm's API says of a payment that nobody signed yet."""
    fetched = Snapshot(
        application=APPLICATION,
        fetched_at=at,
        outcome="open",
        opened=False,
        tx_type="Payment",
        submit=True,
        expires_at=expires_at,
    )
    return reported(
        SnapshotReport(app=APP, application_uuid=APPLICATION, payload=payload(number), at=at, snapshot=fetched)
    )


def snapshot(number: int, *, at: datetime = NOW) -> Reported:
    """What Xumm's API says of a payment that was signed."""
    fetched = Snapshot(
        application=APPLICATION,
        fetched_at=at,
        outcome="signed",
        opened=True,
        tx_type="Payment",
        submit=True,
        account=ACCOUNT,
        txid=TXID,
        network="MAINNET",
        resolved_at=at,
        expires_at=at + timedelta(hours=1),
        signature=VerifiedSignature(account=ACCOUNT, algorithm="secp256k1"),
    )
    return reported(
        SnapshotReport(app=APP, application_uuid=APPLICATION, payload=payload(number), at=at, snapshot=fetched)
    )


def ledger(number: int, *, at: datetime = NOW) -> Reported:
    """What a ledger node says of its transaction."""
    found = Ledger(
        checked_at=at,
        node="xrplcluster.com",
        status="validated",
        txid=TXID,
        ledger_index=94_000_000,
        result="tesSUCCESS",
        delivered_amount={"currency": "USD", "issuer": ACCOUNT, "value": "1.50"},
        destination=ACCOUNT,
        destination_tag=2**32 - 1,
        fee="12",
    )
    return reported(LedgerReport(app=APP, application_uuid=APPLICATION, payload=payload(number), at=at, ledger=found))


def quarantined(number: int, *, at: datetime = NOW) -> Quarantined:
    """An authentic body that makes no sense."""
    return Quarantined(delivery=delivery(number, verdict="quarantined", at=at), body=b"\0\xff", reason="no meta")


def refused(number: int, *, at: datetime = NOW) -> Refused:
    """A delivery that was not believed."""
    return Refused(delivery=delivery(number, verdict="signature_invalid", at=at))


def impossible(number: int) -> Quarantined:
    """An entry that no database takes: its verdict is missing."""
    line = delivery(number)._replace(verdict=None)  # type: ignore[arg-type]  # on purpose
    return Quarantined(delivery=line, body=b"", reason="no meta")
