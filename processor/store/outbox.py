"""The outbox: events on their way to the broker."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, bindparam, delete, func, select

from processor.core.publishing.message import Message, OutboxMessage
from processor.store.tables import events, outbox

EVENT: Final = [events.c[name] for name in ("position", *Message._fields)]
"""The columns of an `OutboxMessage`, in its order."""
_TAKE_OUT: Final = delete(outbox).where(outbox.c.position.between(bindparam("first"), bindparam("last")))
_JOINED: Final = outbox.join(events, events.c.position == outbox.c.position)


def read(connection: Connection, limit: int, after: int = 0) -> list[OutboxMessage]:
    """The first ``limit`` events with a position over ``after``, in order."""
    return load_messages(connection, _select(outbox.c.position > after).limit(limit))


def read_positions(connection: Connection, limit: int, after: int = 0) -> list[int]:
    """The first ``limit`` positions over ``after``, in order."""
    statement = select(outbox.c.position).where(outbox.c.position > after)
    return list(connection.execute(statement.order_by(outbox.c.position).limit(limit)).scalars())


def read_at(connection: Connection, positions: Sequence[int]) -> list[OutboxMessage]:
    """Those of the events at ``positions`` that are still in the outbox, in order."""
    return load_messages(connection, _select(outbox.c.position.in_(positions)))


def mark_published(connection: Connection, positions: Sequence[int]) -> int:
    """Take events out of the outbox; how many of them were still in it. The events themselves are kept."""
    return sum(
        connection.execute(_TAKE_OUT, {"first": first, "last": last}).rowcount
        for first, last in _runs(sorted(positions))
    )


def count(connection: Connection) -> int:
    """How many events wait for the broker."""
    return connection.execute(select(func.count()).select_from(outbox)).scalar_one()


def load_messages(connection: Connection, statement: Select[Any]) -> list[OutboxMessage]:
    """The rows of a query for `EVENT`."""
    return [OutboxMessage(position, Message(*message)) for position, *message in connection.execute(statement)]


def _select(condition: ColumnElement[bool]) -> Select[Any]:
    return select(*EVENT).select_from(_JOINED).where(condition).order_by(outbox.c.position)


def _runs(ascending: Sequence[int]) -> Iterator[tuple[int, int]]:
    """First and last of each run of neighbours: the broker mostly confirms in order, so there is one or a few."""
    first = 0
    for index, position in enumerate(ascending):
        if index + 1 == len(ascending) or ascending[index + 1] > position + 1:
            yield ascending[first], position
            first = index + 1
