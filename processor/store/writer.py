"""The writer: how the event loop uses the store without waiting for it.

Entries and jobs queue up while a transaction runs, and share the next one (see `GroupCommit`): the longer the queue,
the less each costs. No caller waits for longer than `Bounds.patience`: then it gets `StoreUnavailable`, though an entry
that was under way may be committed after all, and the transaction is interrupted.
"""

import asyncio
import itertools
from asyncio import Future
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Concatenate, Final, ParamSpec, Self, TypeVar

import structlog
from sqlalchemy import Connection

from processor.core.errors import StoreError, StoreFault, StoreFull, StoreUnavailable
from processor.core.payload.entry import Commit, Quarantined, Recorded, Refused, Reported
from processor.database import WorkerThread, settle
from processor.store import outbox
from processor.store.commits import Commits
from processor.store.group_commit import GroupCommit
from processor.store.ports import Recorder, Settle
from processor.store.store import Store
from processor.store.work import Batch, Bounds, Job, PendingEntry, WaitLimit, Work, WorkQueue, overdue_error

T = TypeVar("T")
P = ParamSpec("P")

LINGER: Final = 0.004
"""Seconds for which a group waits for its share of a crowd, at most. Without a crowd it does not wait."""
LOG_DELAY: Final = 1.0
"""Seconds that a line of the delivery log waits for other entries, at most."""

log = structlog.get_logger()


class Writer(Recorder):
    """An async context manager that owns a `Store`.

    Entries are recorded in the order of the calls, and jobs are done in theirs; in one commit, the entries come first.
    After each commit, before the next, ``commits`` tells of it, then the entries are settled, then the jobs.
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
        """Receives the fault that each attempt to write met, or None."""
        self.dropped_log_lines = 0
        self._open_store = open_store
        self._bounds = bounds or Bounds()
        self._clock = clock
        self._thread = WorkerThread("store")
        self._queue = WorkQueue()
        self._at_hand: Sequence[Work] = []
        self._wait_limit = WaitLimit(self._bounds.patience, self._expire)
        self._work = asyncio.Event()
        self._enough = 1
        self._running = False

    @property
    def running(self) -> bool:
        """Whether entries are taken."""
        return self._running

    @property
    def waiting(self) -> int:
        """How many entries wait for their commit."""
        return self._queue.waiting

    @property
    def crowded(self) -> bool:
        """Whether so many entries wait that no more are taken."""
        return self._queue.waiting >= self._bounds.entries

    @property
    def depth(self) -> int:
        """How many events wait in the outbox, as far as this process knows."""
        return self._commits.depth

    @property
    def exclusive(self) -> bool:
        """Whether this process is the only one that writes to the database."""
        return self._store.database.exclusive

    def record(self, entry: Reported | Quarantined) -> "Future[Recorded]":
        """Resolves after the commit: see `Recorder`."""
        future: Future[Recorded] = self._loop.create_future()
        self.submit(entry, partial(settle, future))
        return future

    def submit(self, entry: Reported | Quarantined, settle: Settle) -> None:
        """Store an entry; ``settle`` receives the result after the commit: see `Recorder`."""
        if self.crowded:
            raise StoreUnavailable(f"{self.waiting} entries wait for the database", "crowded")
        if isinstance(entry, Reported) and entry.delivery is not None and self._commits.depth >= self._bounds.outbox:
            raise StoreFull(f"{self._commits.depth} events wait for the broker")
        self._put(PendingEntry(settle, self._wait_limit.begin(), entry))

    def log(self, entry: Refused) -> None:
        """Add a line to the delivery log later. If too many wait, the line is dropped and counted."""
        if not self._running or len(self._queue.lines) >= self._bounds.log_lines:
            self.dropped_log_lines += 1
            return
        if not self._queue.lines:
            self._loop.call_later(LOG_DELAY, self._work.set)
        self._queue.lines.append(entry)

    def run(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Call one of the store's functions, in one short transaction. Resolves after the commit; raises its error."""
        future: Future[T] = self._loop.create_future()
        self._put(Job(partial(settle, future), self._wait_limit.begin(), function, args, kwargs))
        return future

    def hasten(self, patience: timedelta) -> None:
        """Lower the limit of waiting, for shutdown."""
        self._wait_limit.shorten(patience)

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._thread.start()
        self._wait_limit.start(self._loop)
        self._store, depth = await self._thread.call(self._open)
        self._commits = GroupCommit(
            self._store, depth, self._thread, self._clock, longest=lambda: self._wait_limit.longest
        )
        self._running = True
        self._serving = asyncio.create_task(self._serve(), name="store")
        self._serving.add_done_callback(self._stop_serving)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Commit the work that waits, then close. A database that does not answer even then is abandoned."""
        self._running = False
        self._work.set()
        if not await self._ends(self._serving):
            self._store.database.interrupt()
        if not (await self._ends(self._serving) and await self._ends(self._thread.call(self._store.close))):
            log.error("store.abandoned")
        self._serving.cancel()
        self._wait_limit.stop()
        self._thread.stop()

    def _open(self) -> tuple[Store, int]:
        with ExitStack() as stack:
            store = stack.enter_context(self._open_store())
            depth = store.run(outbox.count)
            stack.pop_all()
        return store, depth

    async def _ends(self, future: "Future[Any]") -> bool:
        done, _ = await asyncio.wait([future], timeout=self._wait_limit.longest)
        return bool(done)

    def _put(self, work: PendingEntry | Job) -> None:
        if not self._running:
            raise StoreUnavailable("the store is closed", "closed")
        self._queue.add(work)
        if len(self._queue) >= self._enough:
            self._work.set()

    async def _serve(self) -> None:
        while self._running or self._queue or self._queue.lines:
            await self._gather()
            batch = self._queue.take(exclusive=self.exclusive)
            self._at_hand = [*batch.entries, *batch.jobs]
            await self._write(batch)
            self._at_hand = []
            await self._commits.recount_if_due()

    async def _gather(self) -> None:
        """Wait for work, and in a crowd for the share of the next group."""
        if not self._queue:
            await self._work.wait()
        self._work.clear()
        share = self._queue.share()
        if self._running and len(self._queue) < share:
            self._enough = share
            timer = self._loop.call_later(LINGER, self._work.set)
            await self._work.wait()
            timer.cancel()
            self._work.clear()
            self._enough = 1

    def _stop_serving(self, serving: asyncio.Task[None]) -> None:
        """End the wait of every caller, whatever ended the writing."""
        self._running = False
        error = None if serving.cancelled() else serving.exception()
        if error is not None:
            log.error("store.failed", exc_info=error)
        for work in (*self._at_hand, *self._queue):
            work.tell(StoreUnavailable("the store is closed", "closed"))

    def _expire(self, before: float) -> float | None:
        """End the wait of those who came ``before``; returns since when the next one waits, None if none does."""
        late = [*(work for work in self._at_hand if work.since <= before), *self._queue.drop_late(before)]
        if late:
            self.on_write("slow")
        for work in late:
            work.tell(overdue_error(self._wait_limit.longest))
        next_ones = [*self._at_hand, *itertools.islice(self._queue, 1)]
        return min((work.since for work in next_ones if work.since > before), default=None)

    async def _write(self, batch: Batch) -> None:
        if not any(batch):
            return
        entries, lines, jobs = batch
        outcomes, answers = await self._commits.do([*(each.entry for each in entries), *lines], jobs)
        self.dropped_log_lines += sum(isinstance(outcome, StoreError) for outcome in outcomes[len(entries) :])
        self._queue.settle_group(len(entries))
        self._at_hand = []
        self._show([*outcomes[: len(entries)][-1:], *answers])
        self._announce(entries, outcomes)
        for each, outcome in zip(entries, outcomes, strict=False):  # the lines of the log come last
            each.tell(outcome)
        for job, answer in zip(jobs, answers, strict=True):
            job.tell(answer)

    def _show(self, outcomes: Sequence[Any]) -> None:
        """Tell the database's fault, or none if an entry was stored: a job that only reads does not prove a write."""
        faults = [each.fault for each in outcomes if isinstance(each, StoreUnavailable)]
        if faults or any(isinstance(each, Recorded) for each in outcomes):
            self.on_write(faults[0] if faults else None)

    def _announce(self, entries: Sequence[PendingEntry], outcomes: Sequence[Recorded | StoreError]) -> None:
        recorded = [
            (each.entry, outcome)
            for each, outcome in zip(entries, outcomes, strict=False)  # the lines of the log come last
            if isinstance(outcome, Recorded)
        ]
        if recorded:
            messages = [message for _, each in recorded for message in each.messages]
            tasks = [task for _, each in recorded if each.transition for task in each.transition.tasks]
            self.commits.tell(Commit(recorded, messages, frozenset([task.kind for task in tasks])))
        if not self.exclusive and any(isinstance(each, StoreUnavailable) for each in outcomes):
            self.commits.tell(Commit(certain=False))
