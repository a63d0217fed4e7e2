"""The delivery log, and the quarantine for authentic bodies that make no sense."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from processor.core.payload.entry import DeliveryRecord
from processor.store.tables import deliveries, quarantine, restored, stored


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedBody:
    """What is to be known of a body in quarantine before looking at it."""

    id: int
    received_at: datetime
    app: str
    payload: str | None
    reason: str
    size: int
    """Bytes."""


def latest(
    connection: Connection, *, payload: str | None, app: str | None, verdict: str | None, limit: int
) -> list[DeliveryRecord]:
    """The newest ``limit`` lines that match, newest first."""
    statement = select(deliveries).order_by(deliveries.c.id.desc()).limit(limit)
    for column, wanted in (("payload", payload), ("app", app), ("verdict", verdict)):
        if wanted is not None:
            statement = statement.where(deliveries.c[column] == wanted)
    return [
        DeliveryRecord(
            received_at=restored(line.received_at),
            app=line.app,
            payload=line.payload,
            attempt=line.attempt,
            verdict=line.verdict,
            latency_us=line.latency_us,
        )
        for line in connection.execute(statement)
    ]


def quarantined(connection: Connection, limit: int) -> list[QuarantinedBody]:
    """The oldest ``limit`` that were not released."""
    columns = [quarantine.c[name] for name in ("id", "received_at", "app", "payload", "reason")]
    size = func.length(quarantine.c.body).label("size")
    held = quarantine.c.released_at.is_(None)
    return [
        QuarantinedBody(
            id=row.id,
            received_at=restored(row.received_at),
            app=row.app,
            payload=row.payload,
            reason=row.reason,
            size=row.size,
        )
        for row in connection.execute(select(*columns, size).where(held).order_by(quarantine.c.id).limit(limit))
    ]


def quarantined_body(connection: Connection, number: int) -> bytes | None:
    """The raw body, or None if there is no such."""
    return connection.execute(select(quarantine.c.body).where(quarantine.c.id == number)).scalar()


def release(connection: Connection, number: int, now: datetime) -> bool:
    """Note that somebody dealt with it. False if there is no such, or it is released."""
    held = (quarantine.c.id == number, quarantine.c.released_at.is_(None))
    return connection.execute(update(quarantine).where(*held).values(released_at=stored(now))).rowcount == 1
