"""The inbox: the ids of handled events. It turns delivery at least once into an effect exactly once."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final, TypeVar

from sqlalchemy import BigInteger, Column, Connection, Index, MetaData, String, Table, delete, select

from consumers.runtime.database import ConsumerDatabase
from processor.database import insert_into

T = TypeVar("T")

METADATA: Final = MetaData()
VERSION: Final = 1
PRUNE_LIMIT: Final = 1000
"""Rows deleted in one transaction, so that pruning does not delay handlers."""

inbox: Final = Table(
    "inbox",
    METADATA,
    Column("consumer", String(63), primary_key=True),
    Column("event_id", String(255), primary_key=True),
    Column("handled_at", BigInteger, nullable=False),
    Index("inbox_by_age", "consumer", "handled_at"),
)


class Inbox:
    """The inbox of one consumer, in its database.

    Guarantees: durable once awaited; safe with several instances on one database.
    """

    def __init__(self, database: ConsumerDatabase, *, consumer: str, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._consumer = consumer
        self._clock = clock

    async def create(self) -> None:
        """Create the table if it does not exist."""
        await self._database.create(METADATA, name="inbox", version=VERSION)

    async def seen(self, event_id: str) -> bool:
        """Whether the event was handled."""
        wanted = select(inbox.c.event_id).where(inbox.c.consumer == self._consumer, inbox.c.event_id == event_id)
        return await self._database.read(lambda transaction: transaction.scalar(wanted) is not None)

    async def handle_once(self, event_id: str, effect: Callable[[Connection], object]) -> bool:
        """Store the event and run ``effect``, both in one transaction; False, and no effect, if it was stored before.

        An exception of ``effect`` undoes both, and is raised.
        """

        def note_and_act(transaction: Connection) -> bool:
            if not self._note(transaction, event_id):
                return False
            effect(transaction)
            return True

        return await self._database.write(note_and_act)

    async def prune(self, older_than: timedelta) -> int:
        """Forget events that were handled longer ago, in short transactions; return how many.

        A forgotten event would be handled again.
        """
        pruned = 0
        while batch := await self._database.write(lambda transaction: self._prune_some(transaction, older_than)):
            pruned += batch
        return pruned

    def _note(self, transaction: Connection, event_id: str) -> bool:
        row = {"consumer": self._consumer, "event_id": event_id, "handled_at": int(self._clock())}
        note = insert_into(transaction.dialect, inbox).values(row).on_conflict_do_nothing()
        # Some drivers do not tell the row count of an insert.
        return transaction.scalar(note.returning(inbox.c.event_id)) is not None

    def _prune_some(self, transaction: Connection, older_than: timedelta) -> int:
        limit = int(self._clock() - older_than.total_seconds())
        old = (
            select(inbox.c.event_id)
            .where(inbox.c.consumer == self._consumer, inbox.c.handled_at < limit)
            .limit(PRUNE_LIMIT)
        )
        forget = delete(inbox).where(inbox.c.consumer == self._consumer, inbox.c.event_id.in_(old))
        return transaction.execute(forget).rowcount
