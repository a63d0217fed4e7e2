"""Group commit: entries and jobs share one transaction at a time; where one fails, its neighbours do not.

What may wait, for the disk or the database, runs in a thread. Of a database that only this process writes to (SQLite)
entries are recorded on the event loop: that touches memory, and a second thread would have to wait for the
interpreter's lock after each statement.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from time import monotonic
from typing import Any, Final, TypeVar

import structlog

from processor.core.errors import StoreError, StoreUnavailable
from processor.core.payload.entry import Entry, Recorded
from processor.database import WorkerThread
from processor.observability.redaction import frames_of
from processor.store import outbox
from processor.store.store import Store
from processor.store.work import Job

T = TypeVar("T")
Results = tuple[Sequence[Recorded | StoreError], Sequence[Any]]
"""Those of entries and of jobs: an exception for one that failed."""

DEPTH_AGE: Final = 10.0
"""Seconds after which the depth of an outbox that others write to is counted again."""
_SLOW: Final = 1.0
"""A transaction of so many seconds shows a disk that may keep a mere statement waiting the next time."""

log = structlog.get_logger()


class GroupCommit:
    """The transactions of one store, none longer than ``longest`` seconds. For one task, one at a time."""

    def __init__(
        self,
        store: Store,
        depth: int,
        thread: WorkerThread,
        clock: Callable[[], datetime],
        *,
        longest: Callable[[], float],
    ) -> None:
        self.depth = depth
        """How many events wait in the outbox, as far as this process knows."""
        self._store = store
        self._database = store.database
        self._thread = thread
        self._clock = clock
        self._longest = longest
        self._counted_at = monotonic()
        self._miscounted = self._failing = self._slow = False

    async def do(self, entries: Sequence[Entry], jobs: Sequence[Job]) -> Results:
        """Record ``entries``, then do ``jobs``, in one transaction if all goes well. Their errors are results."""
        began = monotonic()
        try:
            recorded, answers = await self._transact(entries, jobs)
        except StoreUnavailable as error:
            self._miscounted = self._failing = True
            if entries:
                log.error("store.unavailable", entries=len(entries), fault=error.fault, error=str(error))
            return [StoreUnavailable(str(error), error.fault) for _ in entries], [error for _ in jobs]
        except Exception as error:  # noqa: BLE001  each caller gets it
            if len(entries) + len(jobs) == 1:
                return [_entry_error(error) for _ in entries], [error for _ in jobs]
            return await self._do_apart(entries, jobs)
        self._failing, self._slow = False, monotonic() - began > _SLOW
        self._count(recorded, jobs, answers)
        return recorded, answers

    async def recount_if_due(self) -> None:
        """Count the outbox that others write to, or after a transaction whose commit is in doubt."""
        aged = not self._database.exclusive and monotonic() - self._counted_at > DEPTH_AGE
        if self._failing or not (aged or self._miscounted):
            return
        self._counted_at = monotonic()
        with suppress(StoreError):
            self.depth = await self._in_thread(lambda: self._store.run(outbox.count))
            self._miscounted = False

    async def _do_apart(self, entries: Sequence[Entry], jobs: Sequence[Job]) -> Results:
        """Each job by itself, and each entry too if no job failed."""
        groups = [entries] if entries and jobs else [[entry] for entry in entries]
        parts: list[tuple[Sequence[Entry], Sequence[Job]]] = [(group, []) for group in groups]
        parts += [([], [job]) for job in jobs]
        done = [await self.do(*part) for part in parts]
        return [each for outcomes, _ in done for each in outcomes], [each for _, answers in done for each in answers]

    async def _transact(self, entries: Sequence[Entry], jobs: Sequence[Job]) -> tuple[list[Recorded], list[Any]]:
        """One transaction, in the thread; entries on the event loop, if the database is exclusive and in health."""
        database = self._database
        if not database.exclusive or not entries or self._failing or self._slow:
            return await self._in_thread(lambda: self._do_whole(entries, jobs))
        if not database.begin_at_once():
            await self._in_thread(database.begin)
        try:
            recorded = self._record(entries)
        except Exception:
            await self._in_thread(database.rollback)
            raise
        return recorded, await self._in_thread(lambda: self._finish(jobs))

    def _do_whole(self, entries: Sequence[Entry], jobs: Sequence[Job]) -> tuple[list[Recorded], list[Any]]:
        with self._database.transaction():
            return self._record(entries), [job.do(self._store) for job in jobs]

    def _record(self, entries: Sequence[Entry]) -> list[Recorded]:
        return self._store.record(entries, self._clock()) if entries else []

    def _finish(self, jobs: Sequence[Job]) -> list[Any]:
        """Do ``jobs`` in the transaction that is open, and commit it."""
        try:
            answers = [job.do(self._store) for job in jobs]
        except BaseException:
            self._database.rollback()
            raise
        self._database.commit()
        return answers

    def _count(self, recorded: Sequence[Recorded], jobs: Sequence[Job], answers: Sequence[Any]) -> None:
        """Keep `depth` after a commit: entries came first, then jobs in their order."""
        self.depth += sum([len(each.messages) for each in recorded])
        for job, answer in zip(jobs, answers, strict=True):
            if job.function is outbox.mark_published:
                self.depth -= answer
            elif job.function is outbox.count:
                self.depth = answer

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Do what may wait; interrupt it when it lasts too long."""
        return await self._thread.call_within(self._longest(), work, self._database.interrupt)


def _entry_error(error: Exception) -> StoreError:
    """An error for the caller that names the kind and the place alone: messages may quote what was stored."""
    log.error("store.entry_failed", error=type(error).__name__, places=frames_of(error))
    return StoreError(f"an entry could not be stored: {type(error).__name__}")
