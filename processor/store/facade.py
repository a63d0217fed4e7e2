"""The store as the relay and the tasks see it: their ports, over one writer."""

from asyncio import Future
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from processor.core.errors import StoreError
from processor.store.entry import DueTask, OutboxMessage, Recorded, Reported
from processor.store.writer import Writer

RELAY_LEASE: Final = "relay"
RELAY_LEASE_TTL: Final = timedelta(seconds=15)
TASK_LEASE: Final = timedelta(minutes=2)
"""Longer than a lookup can take, waiting for the budget included."""


class StoredOutbox:
    """The relay's outbox. ``instance`` names this process among those that share the store."""

    def __init__(self, writer: Writer, *, instance: str, clock: Callable[[], datetime]) -> None:
        self._writer = writer
        self._instance = instance
        self._clock = clock

    @property
    def shared(self) -> bool:
        """Whether other processes commit events too."""
        return not self._writer.exclusive

    async def unpublished(self, *, after: int, limit: int) -> Sequence[OutboxMessage]:
        """The unpublished messages with a position over ``after``, in order."""
        return await self._writer.run(lambda store: store.unpublished(limit, after))

    async def mark_published(self, positions: Sequence[int]) -> None:
        """Remember that the broker holds these."""
        await self._writer.run(lambda store: store.mark_published(positions))

    async def lead(self) -> bool:
        """Whether this instance may publish for the next `RELAY_LEASE_TTL`."""
        if not self.shared:
            return True
        now = self._clock()
        return await self._writer.run(
            lambda store: store.acquire_lease(RELAY_LEASE, self._instance, RELAY_LEASE_TTL, now)
        )

    async def resign(self) -> None:
        """Let another instance publish at once. For shutdown: a store that is gone needs no telling."""
        try:
            await self._writer.run(lambda store: store.release_lease(RELAY_LEASE, self._instance))
        except StoreError:
            return


class StoredTasks:
    """The task runner's store."""

    def __init__(self, writer: Writer, *, instance: str, clock: Callable[[], datetime]) -> None:
        self._writer = writer
        self._instance = instance
        self._clock = clock

    async def claim_tasks(self, limit: int) -> Sequence[DueTask]:
        """Due tasks, leased to this process for `TASK_LEASE`."""
        now = self._clock()
        return await self._writer.run(lambda store: store.claim_tasks(now, limit, self._instance, TASK_LEASE))

    async def finish_task(self, task: DueTask) -> None:
        """The task is done, unless it was asked for again meanwhile."""
        await self._writer.run(lambda store: store.finish_task(task))

    async def reschedule_task(self, task: DueTask, delay: timedelta) -> None:
        """The task is due again after ``delay``."""
        due_at = self._clock() + delay
        await self._writer.run(lambda store: store.reschedule_task(task, due_at))

    async def next_task_in(self) -> timedelta | None:
        """How long until a task is due; None if there is none."""
        due_at = await self._writer.run(lambda store: store.next_task_due())
        return None if due_at is None else max(due_at - self._clock(), timedelta(0))

    def record(self, entry: Reported) -> "Future[Recorded]":
        """Apply a report."""
        return self._writer.record(entry)
