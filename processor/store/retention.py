"""How long what is done with is kept."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, select

from processor.store import spent
from processor.store.requests import forget_events
from processor.store.tables import deliveries, events, outbox, outcomes, quarantine, sessions, sign_requests, stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """What is kept, and for how long."""

    events: timedelta = timedelta(days=7)
    """Events that were published, from when they were learned: for replay."""
    deliveries: timedelta = timedelta(days=30)
    """The delivery log, how outcomes were learned, and sign requests with their idempotency keys."""
    max_deliveries: int = 1_000_000
    """Lines of the delivery log, however young: a flood of refused ones must not fill the disk."""
    released: timedelta = timedelta(days=30)
    """Quarantined bodies after they were received, once they are released."""


def prune(connection: Connection, retention: Retention, now: datetime, limit: int) -> int:
    """Remove what has outlived its time among the oldest ``limit`` rows of each table; how many rows that were."""
    newest = connection.execute(select(func.max(deliveries.c.id))).scalar() or 0
    old = deliveries.c.received_at < stored(now - retention.deliveries)
    beyond = deliveries.c.id <= newest - retention.max_deliveries
    published = ~exists().where(outbox.c.position == events.c.position)
    past = events.c.at < (now - retention.events).timestamp()
    released = quarantine.c.released_at.is_not(None) & (quarantine.c.received_at < stored(now - retention.released))
    return (
        _remove(connection, deliveries, old | beyond, limit)
        + _remove(connection, events, past & published, limit)
        + _remove(connection, outcomes, outcomes.c.at < stored(now - retention.deliveries), limit)
        + _remove(connection, quarantine, released, limit)
        + _remove(connection, sign_requests, sign_requests.c.reserved_at < stored(now - retention.deliveries), limit)
        + _remove(connection, sessions, sessions.c.expires_at < stored(now), limit)
        + forget_events(connection, limit)
        + spent.forget(connection, now, limit)
    )


def _remove(connection: Connection, table: Table, outlived: ColumnElement[bool], limit: int) -> int:
    """Looks at the oldest rows only, so that finding nothing costs nothing."""
    (key,) = table.primary_key.columns
    oldest = select(key).order_by(key).limit(limit).scalar_subquery()
    return connection.execute(delete(table).where(key.in_(oldest), outlived)).rowcount
