"""Retention: what has outlived its time is removed, a little at a time."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

import structlog
from sqlalchemy import ColumnElement, Connection, Table, delete, exists, func, select

from processor.core.errors import StoreError
from processor.settings.sections import RetentionSettings
from processor.store import used_once
from processor.store.sign_requests import forget_events
from processor.store.tables import (
    deliveries,
    events,
    outbox,
    outcomes,
    quarantine,
    sessions,
    sign_requests,
    to_micros,
)
from processor.store.writer import Writer

EVERY: Final = timedelta(minutes=10)
BETWEEN_BATCHES: Final = timedelta(milliseconds=100)
"""Time for webhooks to be stored meanwhile."""
RELEASED: Final = timedelta(days=30)
"""How long quarantined bodies are kept after they were received, once they are released."""

log = structlog.get_logger()


async def keep_pruning(writer: Writer, keep: RetentionSettings, *, clock: Callable[[], datetime]) -> None:
    """Prune now and then, until cancelled."""
    while True:
        try:
            removed = await writer.run(prune, keep, clock())
        except StoreError as error:
            log.warning("store.prune_failed", error=str(error))
            removed = 0
        await asyncio.sleep((BETWEEN_BATCHES if removed else EVERY).total_seconds())


def prune(connection: Connection, keep: RetentionSettings, now: datetime, limit: int = 500) -> int:
    """Remove outlived rows among the oldest ``limit`` of each table; how many those were. Call again until 0."""
    newest = connection.execute(select(func.max(deliveries.c.id))).scalar() or 0
    old = deliveries.c.received_at < to_micros(now - keep.deliveries)
    beyond = deliveries.c.id <= newest - keep.delivery_rows
    published = ~exists().where(outbox.c.position == events.c.position)
    past = events.c.at < (now - keep.events).timestamp()
    released = quarantine.c.released_at.is_not(None) & (quarantine.c.received_at < to_micros(now - RELEASED))
    return (
        _remove(connection, deliveries, old | beyond, limit)
        + _remove(connection, events, past & published, limit)
        + _remove(connection, outcomes, outcomes.c.at < to_micros(now - keep.deliveries), limit)
        + _remove(connection, quarantine, released, limit)
        + _remove(connection, sign_requests, sign_requests.c.reserved_at < to_micros(now - keep.deliveries), limit)
        + _remove(connection, sessions, sessions.c.expires_at < to_micros(now), limit)
        + forget_events(connection, limit)
        + used_once.forget(connection, now, limit)
    )


def _remove(connection: Connection, table: Table, outlived: ColumnElement[bool], limit: int) -> int:
    """Only the oldest rows are looked at, so that finding nothing costs nothing."""
    (key,) = table.primary_key.columns
    oldest = select(key).order_by(key).limit(limit).scalar_subquery()
    return connection.execute(delete(table).where(key.in_(oldest), outlived)).rowcount
