"""The store as the relay and the tasks see it: their ports, over one writer."""

from asyncio import Future
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from processor.core.errors import StoreError
from processor.core.payload.due_task import Claim, DueTask, Lane
from processor.core.payload.entry import Recorded, Reported
from processor.core.payload.lifecycle import TaskKind
from processor.core.payload.watch import Watch, WatchKey
from processor.core.publishing.message import OutboxMessage
from processor.store import tasks
from processor.store.writer import Writer

WATCH_LEASE: Final = timedelta(minutes=3)
"""After which the watches of an instance that died are taken over."""
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

    async def positions(self, *, after: int, limit: int) -> Sequence[int]:
        """The positions of the unpublished messages over ``after``, in order."""
        return await self._writer.run(lambda store: store.positions(limit, after))

    async def waiting(self, positions: Sequence[int]) -> Sequence[OutboxMessage]:
        """Those of the messages at ``positions`` that are unpublished, in order."""
        return await self._writer.run(lambda store: store.waiting(positions))

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
        if not self.shared:
            return
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

    async def claim_tasks(self, rooms: Mapping[Lane, int]) -> Claim:
        """Due tasks, of each lane as many as it has room for, leased to this process for `TASK_LEASE`."""
        now = self._clock()
        return await self._writer.run(lambda store: store.claim_tasks(now, rooms, self._instance, TASK_LEASE))

    async def disown_tasks(self, kinds: Collection[TaskKind], but: Collection[int]) -> None:
        """Free what is leased to this process of these kinds, but for those with the numbers ``but``."""
        await self._writer.run(lambda store: store.do(tasks.disown, self._instance, kinds, but))

    async def orphaned_tasks(self, apps: Collection[str]) -> Mapping[str, int]:
        """The applications other than ``apps`` that tasks wait for, and how many."""
        return await self._writer.run(lambda store: store.orphaned_tasks(apps))

    async def finish_task(self, task: DueTask) -> None:
        """The task is done, unless it was asked for again meanwhile."""
        await self._writer.run(lambda store: store.finish_task(task))

    async def reschedule_task(self, task: DueTask, delay: timedelta) -> None:
        """The task is due again after ``delay``."""
        due_at = self._clock() + delay
        await self._writer.run(lambda store: store.reschedule_task(task, due_at))

    def record(self, entry: Reported) -> "Future[Recorded]":
        """Apply a report."""
        return self._writer.record(entry)


class StoredWatches:
    """The watcher's store."""

    def __init__(self, writer: Writer, *, instance: str, clock: Callable[[], datetime]) -> None:
        self._writer = writer
        self._instance = instance
        self._clock = clock

    async def claim_watches(self, rooms: Mapping[str, int]) -> Sequence[Watch]:
        """Watches that nobody holds, of each application so many at most, leased to this process for `WATCH_LEASE`."""
        now = self._clock()
        return await self._writer.run(lambda store: store.claim_watches(now, rooms, self._instance, WATCH_LEASE))

    async def renew_watches(self, keys: Sequence[WatchKey]) -> Sequence[Watch]:
        """Those of ``keys`` that this process still holds, as they are now; for another `WATCH_LEASE`."""
        now = self._clock()
        return await self._writer.run(lambda store: store.renew_watches(keys, now, self._instance, WATCH_LEASE))

    async def end_watches(self, keys: Sequence[WatchKey]) -> None:
        """These need no watching any more."""
        await self._writer.run(lambda store: store.end_watches(keys, self._instance))

    async def release_watches(self, but: Collection[WatchKey] = ()) -> None:
        """Whatever this process holds is free, but for ``but``."""
        now = self._clock()
        await self._writer.run(lambda store: store.release_watches(now, self._instance, but))

    def record(self, entry: Reported) -> "Future[Recorded]":
        """Apply a report."""
        return self._writer.record(entry)
