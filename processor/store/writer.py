"""How the event loop writes: entries in groups and jobs along with them, one transaction at a time, no waiting.

Entries queue up while a commit runs, and share the next one: the busier it is, the less each costs.

Where this process is the only one that writes (SQLite), statements run right on the event loop: they touch memory,
and a second thread would have to wait for the interpreter's lock after each of them. Only the commit, which waits for
the disk, runs in a thread. A database behind a network (PostgreSQL) is left to the thread altogether.
"""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from types import TracebackType
from typing import Final, Self, TypeVar

import structlog

from processor.core.errors import StoreError, StoreFull, StoreUnavailable
from processor.store.entry import OutboxMessage, Quarantined, Recorded, Refused, Reported
from processor.store.recording import GROUP_LIMIT
from processor.store.store import Store
from processor.store.thread import WorkerThread
from processor.store.transactions import Transactions
from processor.store.waiting import Batch, Bounds, Job, Outcome, Settle, Waiting, settle

T = TypeVar("T")

CROWD: Final = 16
"""So many entries at once are a crowd: it is recorded in two groups that take turns, see `Writer._share`."""
LINGER: Final = 0.004
"""Seconds for which a group waits for its share of a crowd, at most. When it is quiet nobody waits."""
JOB_LIMIT: Final = 16
"""How many jobs share a commit: they run on the event loop, and if one fails all are done again, each alone."""
LOG_DELAY: Final = 1.0
"""Seconds that a line of the delivery log waits for company, at most."""
LOG_SHARE: Final = 64
"""How many lines of the delivery log go along with a group that somebody waits for."""

log = structlog.get_logger()


class Writer:
    """An async context manager round a `Store` of its own.

    Guarantees: entries are recorded in the order of the calls, and jobs done in theirs; of what shares a commit, the
    entries come first. Each commit becomes known to the loop before the next: ``on_committed`` gets its events,
    then its entries are settled, then its jobs. No events at all mean that some may have been committed while the
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
        self._clock = clock
        self._thread = WorkerThread("store")
        self._queue: deque[Waiting | Job] = deque()
        self._at_hand: Sequence[Waiting | Job] = []
        self._log_lines: deque[Refused] = deque()
        self._work = asyncio.Event()
        self._waiting = 0
        self._last_group = 0
        self._enough = 1
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
        """Resolves after the commit. Raises `StoreError`, at once or through the future: see `submit`."""
        future: Future[Recorded] = self._loop.create_future()
        self.submit(entry, partial(settle, future))
        return future

    def submit(self, entry: Reported | Quarantined, settle: Settle) -> None:
        """``settle`` gets what was recorded after the commit, or the `StoreError` because of which nothing was stored.

        Raises at once, and then never calls it: `StoreFull` for a delivery while too many events wait in the outbox
        (what lookups say goes on), and `StoreUnavailable` while too many entries wait for their commit.
        """
        if self._waiting >= self._bounds.entries:
            raise StoreUnavailable(f"{self._waiting} entries wait for the database")
        if isinstance(entry, Reported) and entry.delivery is not None and self._store.depth >= self._bounds.outbox:
            raise StoreFull(f"{self._store.depth} events wait for the broker")
        self._put(Waiting(entry, settle))
        self._waiting += 1

    def log(self, entry: Refused) -> None:
        """Store a line of the delivery log when convenient. Where too many wait it is dropped, and counted."""
        if not self._running or len(self._log_lines) >= self._bounds.log_lines:
            self.dropped_log_lines += 1
            return
        if not self._log_lines:
            self._loop.call_later(LOG_DELAY, self._work.set)
        self._log_lines.append(entry)

    def run(self, function: Callable[[Store], T]) -> "Future[T]":
        """Do something else with the store, in one short transaction. Raises what ``function`` raises."""
        future: Future[T] = self._loop.create_future()
        self._put(Job(function, partial(settle, future)))
        return future

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread.start(self._loop)
        self._store = await self._thread.call(self._open_store)
        self._transactions = Transactions(self._store, self._thread, self._clock)
        self._running = True
        self._serving = asyncio.create_task(self._serve(), name="store")
        self._serving.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit what waits, then close."""
        self._running = False
        self._work.set()
        await asyncio.wait([self._serving])
        await self._thread.call(self._store.close)
        self._thread.stop()

    def _put(self, work: Waiting | Job) -> None:
        if not self._running:
            raise StoreUnavailable("the store is closed")
        self._queue.append(work)
        if len(self._queue) >= self._enough:
            self._work.set()

    async def _serve(self) -> None:
        while self._running or self._queue or self._log_lines:
            await self._gather()
            batch = self._take()
            self._at_hand = [*batch.waiting, *batch.jobs]
            await self._write(batch)
            self._at_hand = []
            await self._transactions.recount_now_and_then()

    async def _gather(self) -> None:
        """Wait for work, and for company if there is some to be had."""
        if not self._queue:
            await self._work.wait()
        self._work.clear()
        share = self._share()
        if self._running and len(self._queue) < share:
            self._enough = share
            timer = self._loop.call_later(LINGER, self._work.set)
            await self._work.wait()
            timer.cancel()
            self._work.clear()
            self._enough = 1

    def _share(self) -> int:
        """How many entries the next commit is to take: half of the crowd, or all of a few.

        Senders who wait for an answer before they send more would end up in one group, and the loop and the disk
        would wait for each other. In two groups, one is read and recorded while the other is committed.
        """
        crowd = len(self._queue) + self._last_group
        return min((crowd + 1) // 2, GROUP_LIMIT) if crowd >= CROWD else 1

    def _take(self) -> Batch:
        """What the next transaction does. On a shared database a job has one alone: it may lock what others do."""
        batch, exclusive = Batch([], [], []), self._store.exclusive
        share = self._share()
        room = share if share > 1 else CROWD
        while self._queue and len(batch.waiting) < room and len(batch.jobs) < JOB_LIMIT:
            work = self._queue[0]
            if not exclusive and (batch.jobs or (batch.waiting and isinstance(work, Job))):
                break
            if isinstance(work, Job):
                batch.jobs.append(work)
            else:
                batch.waiting.append(work)
            self._queue.popleft()
        if exclusive or not batch.jobs:
            self._take_log_lines(batch)
        return batch

    def _ended(self, serving: asyncio.Task[None]) -> None:
        """Nobody waits for ever, whatever ended it."""
        self._running = False
        error = None if serving.cancelled() else serving.exception()
        if error is not None:
            log.error("store.failed", exc_info=error)
        for work in (*self._at_hand, *self._queue):
            self._settled(work.settle, StoreUnavailable("the store is closed"))

    def _take_log_lines(self, batch: Batch) -> None:
        room = min(LOG_SHARE, GROUP_LIMIT - len(batch.waiting)) if batch.waiting else GROUP_LIMIT
        for _ in range(min(room, len(self._log_lines))):
            batch.lines.append(self._log_lines.popleft())

    async def _write(self, batch: Batch) -> None:
        if not any(batch):
            return
        waiting, lines, jobs = batch
        outcomes, answers = await self._transactions.do([*(each.entry for each in waiting), *lines], jobs)
        self.dropped_log_lines += sum(isinstance(outcome, StoreError) for outcome in outcomes[len(waiting) :])
        self._waiting -= len(waiting)
        self._last_group = len(waiting)
        self._at_hand = []
        self._tell(outcomes)
        for each, outcome in zip(waiting, outcomes, strict=False):  # the lines of the log come last
            self._settled(each.settle, outcome)
        for job, answer in zip(jobs, answers, strict=True):
            self._settled(job.settle, answer)

    @staticmethod
    def _settled(settle: Settle, outcome: Outcome) -> None:
        """Tell one; what goes wrong there is no reason not to tell the next."""
        try:
            settle(outcome)
        except Exception:
            log.exception("store.callback_failed")

    def _tell(self, outcomes: Sequence[Outcome]) -> None:
        messages = [message for each in outcomes if isinstance(each, Recorded) for message in each.messages]
        doubtful = not self.exclusive and any(isinstance(each, StoreUnavailable) for each in outcomes)
        try:
            if messages:
                self.on_committed(messages)
            if doubtful:
                self.on_committed([])
        except Exception:
            log.exception("store.callback_failed")
