"""How the event loop writes: entries, log lines and jobs for the store's thread, and futures back."""

import asyncio
from asyncio import Future
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Self, TypeVar

import structlog

from processor.core.errors import StoreFull, StoreUnavailable
from processor.store.entry import OutboxMessage, Quarantined, Recorded, Refused, Reported
from processor.store.store import Store
from processor.store.thread import Group, Job, Stop, StoreThread, Waiting, settle

T = TypeVar("T")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much may wait."""

    entries: int = 10_000
    """Entries that wait for their commit."""
    log_lines: int = 10_000
    """Lines of the delivery log that wait for theirs."""
    outbox: int = 1_000_000
    """Events in the outbox: with so many, no delivery is taken."""


class Writer:
    """An async context manager round a `Store` of its own, for the event loop that it is entered in.

    Guarantees: everything is done in the order of the calls, and becomes known to the loop in that order: futures
    resolve, and ``on_committed`` is called, group by group and job by job. ``on_committed`` gets the events of a
    group before the futures of that group resolve; no events at all mean that some may have been committed while the
    connection was lost, so that the outbox is worth a look.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        *,
        bounds: Bounds | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.on_committed: Callable[[Sequence[OutboxMessage]], None] = lambda _messages: None
        """To be set before the first entry comes."""
        self.dropped_log_lines = 0
        self._open_store = open_store
        self._bounds = bounds or Bounds()
        self._thread = StoreThread(clock=clock, deliver=self._deliver, end=self._end)
        self._waiting = 0
        self._running = False

    @property
    def running(self) -> bool:
        """Whether entries are taken."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many entries wait for their commit."""
        return self._waiting

    @property
    def depth(self) -> int:
        """How many events wait in the outbox, as far as this process knows."""
        return self._store.depth

    @property
    def exclusive(self) -> bool:
        """Whether this process is the only one that writes to the database."""
        return self._store.exclusive

    def record(self, entry: Reported | Quarantined) -> "Future[Recorded]":
        """Resolves after the commit. Raises `StoreError`, at once or through the future: then nothing was stored.

        At once: `StoreFull` for a delivery while too many events wait in the outbox (what lookups say goes on), and
        `StoreUnavailable` while too many entries wait for their commit.
        """
        self._check_running()
        if self._waiting >= self._bounds.entries:
            raise StoreUnavailable(f"{self._waiting} entries wait for the database")
        if isinstance(entry, Reported) and entry.delivery is not None and self._store.depth >= self._bounds.outbox:
            raise StoreFull(f"{self._store.depth} events wait for the broker")
        future: Future[Recorded] = self._loop.create_future()
        self._waiting += 1
        self._thread.queue.put(Waiting(entry, future))
        return future

    def log(self, entry: Refused) -> None:
        """Store a line of the delivery log when convenient. Where too many wait it is dropped, and counted."""
        if self._running and len(self._thread.log_lines) < self._bounds.log_lines:
            self._thread.log_lines.append(entry)
        else:
            self.dropped_log_lines += 1

    def run(self, function: Callable[[Store], T]) -> "Future[T]":
        """Do something else with the store, in one transaction. Raises what ``function`` raises."""
        self._check_running()
        future: Future[T] = self._loop.create_future()
        self._thread.queue.put(Job(function, future))
        return future

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._ended: Future[None] = self._loop.create_future()
        try:
            self._store = await self._thread.start(self._loop, self._open_store)
        except asyncio.CancelledError:
            self._thread.queue.put(Stop())
            raise
        self._running = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit what waits, then close."""
        self._running = False
        self._thread.queue.put(Stop())
        await asyncio.shield(self._ended)

    def _check_running(self) -> None:
        if not self._running:
            raise StoreUnavailable("the store is closed")

    def _deliver(self, group: Group) -> None:
        self._waiting -= len(group.waiting)
        self.dropped_log_lines += group.lost_log_lines
        recorded = [outcome for outcome in group.outcomes if isinstance(outcome, Recorded)]
        messages = [message for each in recorded for message in each.messages]
        try:
            if messages:
                self.on_committed(messages)
            if group.doubtful:
                self.on_committed([])
        except Exception:
            log.exception("store.callback_failed")
        for waiting, outcome in zip(group.waiting, group.outcomes, strict=True):
            settle(waiting.future, outcome)

    def _end(self) -> None:
        self._running = False
        for work in self._thread.abandoned():
            settle(work.future, StoreUnavailable("the store is closed"))
        settle(self._ended, None)
