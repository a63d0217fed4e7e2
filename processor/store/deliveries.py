"""The delivery log, and the quarantine for authentic bodies that cannot be parsed."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, func, select, update

from processor.core.payload.entry import DeliveryRecord
from processor.store.tables import deliveries, from_micros, quarantine, to_micros


class QuarantinedBody(NamedTuple):
    """A body in quarantine, without its bytes."""

    id: int
    received_at: datetime
    app: str
    payload: str | None
    reason: str
    size: int
    """Bytes."""


def list_latest(
    connection: Connection,
    *,
    payload: str | None = None,
    app: str | None = None,
    verdict: str | None = None,
    limit: int = 100,
) -> list[DeliveryRecord]:
    """The newest ``limit`` lines of the delivery log that match, newest first."""
    columns = [deliveries.c[name] for name in DeliveryRecord._fields]
    statement = select(*columns).order_by(deliveries.c.id.desc()).limit(limit)
    for column, wanted in (("payload", payload), ("app", app), ("verdict", verdict)):
        if wanted is not None:
            statement = statement.where(deliveries.c[column] == wanted)
    return [DeliveryRecord(from_micros(at), *values) for at, *values in connection.execute(statement)]


def list_quarantine(connection: Connection, limit: int = 100) -> list[QuarantinedBody]:
    """The oldest ``limit`` bodies in quarantine."""
    columns = [quarantine.c[name] for name in ("id", "received_at", "app", "payload", "reason")]
    size = func.length(quarantine.c.body).label("size")
    held = quarantine.c.released_at.is_(None)
    rows = connection.execute(select(*columns, size).where(held).order_by(quarantine.c.id).limit(limit))
    return [QuarantinedBody(number, from_micros(at), *values) for number, at, *values in rows]


def load_body(connection: Connection, number: int) -> bytes | None:
    """The bytes of a body in quarantine, released or not; None if there is no such body."""
    return connection.execute(select(quarantine.c.body).where(quarantine.c.id == number)).scalar()


def release_body(connection: Connection, number: int, now: datetime) -> bool:
    """Take a body out of quarantine: somebody dealt with it. False if there is no such body in it."""
    held = (quarantine.c.id == number, quarantine.c.released_at.is_(None))
    return connection.execute(update(quarantine).where(*held).values(released_at=to_micros(now))).rowcount == 1
