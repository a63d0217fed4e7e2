"""One transaction after the other, and what becomes of those who share one: where one fails, its neighbours do not."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from time import monotonic
from typing import Any, Final, TypeVar

import structlog

from processor.core.errors import StoreError, StoreUnavailable
from processor.redaction import frames_of
from processor.store.entry import Entry
from processor.store.store import Store
from processor.store.thread import WorkerThread
from processor.store.waiting import Job, Outcome

T = TypeVar("T")
Done = tuple[Sequence[Outcome], Sequence[Any]]
"""What became of entries, and what jobs answered: an exception, if it failed."""

DEPTH_AGE: Final = 10.0
"""Seconds after which the depth of an outbox that others write to is counted again."""

log = structlog.get_logger()


class Transactions:
    """Those of one store. To be used by one task, one at a time."""

    def __init__(self, store: Store, thread: WorkerThread, clock: Callable[[], datetime]) -> None:
        self._store = store
        self._thread = thread
        self._clock = clock
        self._counted_at = monotonic()

    async def do(self, entries: Sequence[Entry], jobs: Sequence[Job]) -> Done:
        """Record ``entries``, then do ``jobs``, in one transaction if all goes well. Never raises what they raise."""
        try:
            return await self._transact(lambda: self._done(entries, jobs))
        except StoreUnavailable as error:
            if entries:
                log.error("store.unavailable", entries=len(entries), error=str(error))
            await self._recount()
            return [StoreUnavailable(str(error)) for _ in entries], [error for _ in jobs]
        except Exception as error:  # noqa: BLE001  told to each caller
            await self._recount()
            if len(entries) + len(jobs) == 1:
                return [_failed(error) for _ in entries], [error for _ in jobs]
            return await self._do_apart(entries, jobs)

    async def recount_now_and_then(self) -> None:
        """Keep up with an outbox that others write to."""
        if not self._store.exclusive and monotonic() - self._counted_at > DEPTH_AGE:
            await self._recount()

    def _done(self, entries: Sequence[Entry], jobs: Sequence[Job]) -> Done:
        recorded = self._store.record(entries, self._clock()) if entries else []
        return recorded, [job.function(self._store) for job in jobs]

    async def _do_apart(self, entries: Sequence[Entry], jobs: Sequence[Job]) -> Done:
        """The jobs each by itself, and the entries too if it was no job that failed."""
        groups = [entries] if entries and jobs else [[entry] for entry in entries]
        parts: list[tuple[Sequence[Entry], Sequence[Job]]] = [(group, []) for group in groups]
        parts += [([], [job]) for job in jobs]
        done = [await self.do(*part) for part in parts]
        return [each for outcomes, _ in done for each in outcomes], [each for _, answers in done for each in answers]

    async def _transact(self, work: Callable[[], T]) -> T:
        """Do ``work`` in a transaction: all of it in the thread, or only its commit."""
        if not self._store.exclusive:
            return await self._thread.call(lambda: self._store.in_transaction(work))
        self._store.begin()
        try:
            outcome = work()
        except BaseException:
            self._store.rollback()
            raise
        await self._thread.call(self._store.commit)
        return outcome

    async def _recount(self) -> None:
        self._counted_at = monotonic()
        with suppress(StoreError):
            await self._thread.call(self._store.outbox_depth)


def _failed(error: Exception) -> StoreError:
    """Messages of errors quote what they are about, so only what kind it is and where may be told."""
    log.error("store.entry_failed", error=type(error).__name__, places=frames_of(error))
    return StoreError(f"an entry could not be stored: {type(error).__name__}")
