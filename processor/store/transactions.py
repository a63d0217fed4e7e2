"""One transaction after the other, and what becomes of those who share one: where one fails, its neighbours do not."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from time import monotonic
from typing import Any, Final, TypeVar

import structlog

from processor.core.errors import StoreError, StoreUnavailable
from processor.core.payload.entry import Entry, Recorded
from processor.observability.redaction import frames_of
from processor.store.store import Store
from processor.store.thread import WorkerThread
from processor.store.waiting import Job, Outcome

T = TypeVar("T")
Done = tuple[Sequence[Outcome], Sequence[Any]]
"""What became of entries, and what jobs answered: an exception, if it failed."""

DEPTH_AGE: Final = 10.0
"""Seconds after which the depth of an outbox that others write to is counted again."""
_SLOW: Final = 1.0
"""Seconds after which a disk is one that may keep a mere statement waiting next time."""
_INSIST: Final = 1.0
"""Seconds after which a transaction that goes on is interrupted once more."""

log = structlog.get_logger()


class Transactions:
    """Those of one store, none of which lasts for longer than ``longest``. To be used by one task, one at a time."""

    def __init__(
        self, store: Store, thread: WorkerThread, clock: Callable[[], datetime], *, longest: Callable[[], float]
    ) -> None:
        self._store = store
        self._thread = thread
        self._clock = clock
        self._longest = longest
        self._counted_at = monotonic()
        self._miscounted = self._failing = self._slow = False

    async def do(self, entries: Sequence[Entry], jobs: Sequence[Job]) -> Done:
        """Record ``entries``, then do ``jobs``, in one transaction if all goes well. Never raises what they raise."""
        began = monotonic()
        try:
            done = await self._transact(entries, jobs)
        except StoreUnavailable as error:
            self._miscounted = self._failing = True
            if entries:
                log.error("store.unavailable", entries=len(entries), fault=error.fault, error=str(error))
            return [StoreUnavailable(str(error), error.fault) for _ in entries], [error for _ in jobs]
        except Exception as error:  # noqa: BLE001  told to each caller
            self._miscounted = True
            if len(entries) + len(jobs) == 1:
                return [_failed(error) for _ in entries], [error for _ in jobs]
            return await self._do_apart(entries, jobs)
        self._failing, self._slow = False, monotonic() - began > _SLOW
        return done

    async def recount_if_due(self) -> None:
        """Keep up with an outbox that others write to, and with what became of a transaction that failed."""
        aged = not self._store.exclusive and monotonic() - self._counted_at > DEPTH_AGE
        if not self._failing and (aged or self._miscounted):
            await self._recount()

    async def _do_apart(self, entries: Sequence[Entry], jobs: Sequence[Job]) -> Done:
        """The jobs each by itself, and the entries too if it was no job that failed."""
        groups = [entries] if entries and jobs else [[entry] for entry in entries]
        parts: list[tuple[Sequence[Entry], Sequence[Job]]] = [(group, []) for group in groups]
        parts += [([], [job]) for job in jobs]
        done = [await self.do(*part) for part in parts]
        return [each for outcomes, _ in done for each in outcomes], [each for _, answers in done for each in answers]

    async def _transact(self, entries: Sequence[Entry], jobs: Sequence[Job]) -> Done:
        """Do all of it in the thread; of an exclusive store that is well, entries on the event loop."""
        store = self._store
        if not store.exclusive or not entries or self._failing or self._slow:
            return await self._in_thread(
                lambda: store.in_transaction(lambda: (self._record(entries), _done(jobs, store)))
            )
        if not store.begin_at_once():
            await self._in_thread(store.begin)
        try:
            recorded = self._record(entries)
        except Exception:
            await self._in_thread(store.rollback)
            raise
        return recorded, await self._in_thread(lambda: _finished(jobs, store))

    def _record(self, entries: Sequence[Entry]) -> list[Recorded]:
        return self._store.record(entries, self._clock()) if entries else []

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """Do what may wait where nobody else does; interrupt it when it lasts too long."""
        self._alarm = asyncio.get_running_loop().call_later(self._longest(), self._interrupt)
        try:
            return await self._thread.call(work)
        finally:
            self._alarm.cancel()

    def _interrupt(self) -> None:
        """Again and again: what runs next in the thread may take as long."""
        self._store.interrupt()
        self._alarm = asyncio.get_running_loop().call_later(_INSIST, self._interrupt)

    async def _recount(self) -> None:
        self._counted_at = monotonic()
        with suppress(StoreError):
            await self._in_thread(self._store.outbox_depth)
            self._miscounted = False


def _done(jobs: Sequence[Job], store: Store) -> list[Any]:
    return [job.function(store) for job in jobs]


def _finished(jobs: Sequence[Job], store: Store) -> list[Any]:
    """Do ``jobs`` in the transaction that is open, and commit it."""
    try:
        answers = _done(jobs, store)
    except BaseException:
        store.rollback()
        raise
    store.commit()
    return answers


def _failed(error: Exception) -> StoreError:
    """Messages of errors quote what they are about, so only what kind it is and where may be told."""
    log.error("store.entry_failed", error=type(error).__name__, places=frames_of(error))
    return StoreError(f"an entry could not be stored: {type(error).__name__}")
