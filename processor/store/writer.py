"""How the event loop writes: entries in groups and jobs along with them, one transaction at a time, no waiting.

Entries queue up while a commit runs, and share the next one: the busier it is, the less each costs.

Where this process is the only one that writes (SQLite), entries are recorded right on the event loop: that touches
memory, and a second thread would have to wait for the interpreter's lock after each statement. What may wait, for the
disk or for a lock, runs in a thread: the commit, jobs, and the beginning where another process has the file locked. A
database behind a network (PostgreSQL) is left to the thread altogether.

Nobody waits for longer than `Bounds.patience`: then they hear `StoreUnavailable`, though an entry that was under way
may be committed after all, and the transaction is interrupted.
"""

import asyncio
import itertools
from asyncio import Future
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import structlog

from processor.core.errors import StoreError, StoreFault, StoreFull, StoreUnavailable
from processor.core.payload.entry import Commit, Quarantined, Recorded, Refused, Reported
from processor.store.commits import Commits
from processor.store.recording import GROUP_LIMIT
from processor.store.store import Store
from processor.store.thread import WorkerThread
from processor.store.transactions import Transactions
from processor.store.waiting import Batch, Bounds, Job, Outcome, Patience, Settle, Waiting, Work, overdue, settle

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
    entries come first. Each commit becomes known to the loop before the next: ``commits`` tells of it, then its
    entries are settled, then its jobs.
    """

    def __init__(
        self,
        open_store: Callable[[], Store],
        *,
        bounds: Bounds | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.commits: Final = Commits()
        """Who hears of commits; to subscribe before the first entry comes."""
        self.on_write: Callable[[StoreFault | None], None] = lambda _fault: None
        """Hears what each attempt to write shows of the database."""
        self.dropped_log_lines = 0
        self._open_store = open_store
        self._bounds = bounds or Bounds()
        self._clock = clock
        self._thread = WorkerThread("store")
        self._queue: deque[Waiting | Job] = deque()
        self._at_hand: Sequence[Work] = []
        self._patience = Patience(self._bounds.patience, self._expire)
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
    def crowded(self) -> bool:
        """Whether so many wait that no more entries are taken."""
        return self._waiting >= self._bounds.entries

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
        if self.crowded:
            raise StoreUnavailable(f"{self._waiting} entries wait for the database", "crowded")
        if isinstance(entry, Reported) and entry.delivery is not None and self._store.depth >= self._bounds.outbox:
            raise StoreFull(f"{self._store.depth} events wait for the broker")
        self._put(Waiting(settle, self._patience.begin(), entry))
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
        self._put(Job(partial(settle, future), self._patience.begin(), function))
        return future

    def hasten(self, patience: timedelta) -> None:
        """Let nobody wait for longer than this any more: for shutdown."""
        self._patience.shorten(patience)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread.start(self._loop)
        self._patience.start(self._loop)
        self._store = await self._thread.call(self._open_store)
        self._transactions = Transactions(
            self._store, self._thread, self._clock, longest=lambda: self._patience.longest
        )
        self._running = True
        self._serving = asyncio.create_task(self._serve(), name="store")
        self._serving.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Commit what waits, then close. A database that does not answer even then is left behind."""
        self._running = False
        self._work.set()
        if not await self._ends(self._serving):
            self._store.interrupt()
        if not (await self._ends(self._serving) and await self._ends(self._thread.call(self._store.close))):
            log.error("store.abandoned")
        self._serving.cancel()
        self._patience.stop()
        self._thread.stop()

    async def _ends(self, what: "Future[Any]") -> bool:
        done, _ = await asyncio.wait([what], timeout=self._patience.longest)
        return bool(done)

    def _put(self, work: Waiting | Job) -> None:
        if not self._running:
            raise StoreUnavailable("the store is closed", "closed")
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
            await self._transactions.recount_if_due()

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
            work.tell(StoreUnavailable("the store is closed", "closed"))

    def _expire(self, before: float) -> float | None:
        """Tell those who came ``before`` that they waited for too long; since when the next one waits, if one does."""
        late: list[Work] = [work for work in self._at_hand if work.since <= before]
        while self._queue and self._queue[0].since <= before:
            self._waiting -= isinstance(self._queue[0], Waiting)
            late.append(self._queue.popleft())
        if late:
            self.on_write("slow")
        for work in late:
            work.tell(overdue(self._patience.longest))
        next_ones = [*self._at_hand, *itertools.islice(self._queue, 1)]
        return min((work.since for work in next_ones if work.since > before), default=None)

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
        self._show([*outcomes[: len(waiting)][-1:], *answers])
        self._tell(waiting, outcomes)
        for each, outcome in zip(waiting, outcomes, strict=False):  # the lines of the log come last
            each.tell(outcome)
        for job, answer in zip(jobs, answers, strict=True):
            job.tell(answer)

    def _show(self, outcomes: Sequence[Any]) -> None:
        """Tell what outcomes show of the database: that of the latest entry, and those of jobs, which may only read."""
        faults = [each.fault for each in outcomes if isinstance(each, StoreUnavailable)]
        if faults or any(isinstance(each, Recorded) for each in outcomes):
            self.on_write(faults[0] if faults else None)

    def _tell(self, waiting: Sequence[Waiting], outcomes: Sequence[Outcome]) -> None:
        recorded = [
            (each.entry, outcome)
            for each, outcome in zip(waiting, outcomes, strict=False)  # the lines of the log come last
            if isinstance(outcome, Recorded)
        ]
        if recorded:
            self.commits.tell(Commit(recorded, [message for _, each in recorded for message in each.messages]))
        if not self.exclusive and any(isinstance(each, StoreUnavailable) for each in outcomes):
            self.commits.tell(Commit(certain=False))
