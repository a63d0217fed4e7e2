"""Events on their way to the broker."""

from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Connection, bindparam, delete, func, select

from processor.core.publishing.message import Message, OutboxMessage
from processor.store.tables import events, outbox

_MESSAGE: Final = [events.c[name] for name in ("position", *Message._fields)]
_TAKE_OUT: Final = delete(outbox).where(outbox.c.position.between(bindparam("first"), bindparam("last")))
_WAITING: Final = outbox.join(events, events.c.position == outbox.c.position)


def unpublished(connection: Connection, limit: int, after: int) -> list[OutboxMessage]:
    """The first ``limit`` with a position over ``after``, in order."""
    statement = select(*_MESSAGE).select_from(_WAITING).where(outbox.c.position > after)
    rows = connection.execute(statement.order_by(outbox.c.position).limit(limit))
    return [OutboxMessage(position, Message(*message)) for position, *message in rows]


def positions(connection: Connection, limit: int, after: int) -> list[int]:
    """The first ``limit`` positions over ``after`` that are unpublished, in order, without their messages."""
    statement = select(outbox.c.position).where(outbox.c.position > after)
    return list(connection.execute(statement.order_by(outbox.c.position).limit(limit)).scalars())


def waiting(connection: Connection, positions: Sequence[int]) -> list[OutboxMessage]:
    """Those at ``positions`` that are unpublished, in order."""
    statement = select(*_MESSAGE).select_from(_WAITING).where(outbox.c.position.in_(positions))
    rows = connection.execute(statement.order_by(outbox.c.position))
    return [OutboxMessage(position, Message(*message)) for position, *message in rows]


def mark_published(connection: Connection, positions: Sequence[int]) -> int:
    """Take them out; how many of them were still in."""
    return sum(
        connection.execute(_TAKE_OUT, {"first": first, "last": last}).rowcount
        for first, last in _runs(sorted(positions))
    )


def depth(connection: Connection) -> int:
    """How many wait."""
    return connection.execute(select(func.count()).select_from(outbox)).scalar_one()


def _runs(ascending: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of neighbours: the broker mostly confirms in order, so there is one or a few."""
    first = 0
    for index, position in enumerate(ascending):
        if index + 1 == len(ascending) or ascending[index + 1] > position + 1:
            yield ascending[first], position
            first = index + 1
