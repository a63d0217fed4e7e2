"""Events on their way to the broker."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from processor.publisher.port import Message
from processor.store.entry import OutboxMessage
from processor.store.tables import outbox, stored

_MESSAGE = [
    outbox.c[name] for name in ("position", "id", "type", "app", "payload", "routing_key", "body", "at", "traceparent")
]

_CHUNK = 500
"""How many positions go into one statement, which keeps the interpreter lock from changing hands at each."""


def unpublished(connection: Connection, limit: int, after: int) -> list[OutboxMessage]:
    """The first ``limit`` with a position over ``after``, in order."""
    waiting = (outbox.c.published_at.is_(None), outbox.c.position > after)
    rows = connection.execute(select(*_MESSAGE).where(*waiting).order_by(outbox.c.position).limit(limit))
    return [
        OutboxMessage(
            position=position,
            message=Message(
                id=event_id,
                type=event_type,
                app=app,
                payload=payload,
                routing_key=routing_key,
                body=body,
                at=at,
                traceparent=traceparent,
            ),
        )
        for position, event_id, event_type, app, payload, routing_key, body, at, traceparent in rows
    ]


def mark_published(connection: Connection, positions: Sequence[int], now: datetime) -> int:
    """Mark them; how many of them were not marked before."""
    marked = 0
    for start in range(0, len(positions), _CHUNK):
        chunk = positions[start : start + _CHUNK]
        some = (outbox.c.position.in_(chunk), outbox.c.published_at.is_(None))
        marked += connection.execute(update(outbox).where(*some).values(published_at=stored(now))).rowcount
    return marked


def depth(connection: Connection) -> int:
    """How many are not published."""
    return connection.execute(select(func.count()).where(outbox.c.published_at.is_(None))).scalar_one()
