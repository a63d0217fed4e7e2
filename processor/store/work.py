"""Work for the writer: entries and jobs, how many may wait and for how long, and how their callers get the results."""

from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

import structlog

from processor.core.errors import StoreUnavailable
from processor.core.payload.entry import Quarantined, Refused, Reported
from processor.store.recording import GROUP_LIMIT
from processor.store.store import Store

PATIENCE: Final = timedelta(seconds=10)
"""How long anything waits for the store: Xumm's sender gives up after 15 s."""
CROWD: Final = 16
"""So many entries at once are recorded in two groups that take turns, see `WorkQueue.share`."""
JOB_LIMIT: Final = 16
"""How many jobs share a commit: if one fails all are done again, each alone."""
LOG_SHARE: Final = 64
"""How many lines of the delivery log go along with a group of entries that callers wait for."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much may wait, and for how long."""

    entries: int = 10_000
    """Entries that wait for their commit."""
    log_lines: int = 10_000
    """Lines of the delivery log that wait for theirs."""
    outbox: int = 1_000_000
    """Events in the outbox: with so many, no delivery is taken."""
    patience: timedelta = PATIENCE
    """After which a caller gets `StoreUnavailable`, and the transaction is interrupted."""


@dataclass(slots=True, eq=False)
class Work:
    """Something to be done with the store, whose caller waits since then by the event loop's clock."""

    settle: Callable[[Any], None]
    since: float

    def tell(self, outcome: object) -> None:
        """Give the caller the result, the first time. An error of the callback is logged."""
        settle, self.settle = self.settle, _ignore
        try:
            settle(outcome)
        except Exception:
            log.exception("store.callback_failed")


@dataclass(slots=True, eq=False)
class PendingEntry(Work):
    """An entry that waits for its commit."""

    entry: Reported | Quarantined


@dataclass(slots=True, eq=False)
class Job(Work):
    """A call of a function of a connection."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def do(self, store: Store) -> Any:
        """Make the call in the transaction that is open."""
        return store.run(self.function, *self.args, **self.kwargs)


class Batch(NamedTuple):
    """The content of one transaction."""

    entries: list[PendingEntry]
    lines: list[Refused]
    jobs: list[Job]


class WorkQueue:
    """Entries and jobs in the order of their calls, and lines of the delivery log."""

    def __init__(self) -> None:
        self.lines: deque[Refused] = deque()
        self.waiting = 0
        """How many entries wait for their commit, the batches that were taken included: see `settle_group`."""
        self._work: deque[PendingEntry | Job] = deque()
        self._last_group = 0

    def __len__(self) -> int:
        return len(self._work)

    def __iter__(self) -> Iterator[Work]:
        return iter(self._work)

    def add(self, work: PendingEntry | Job) -> None:
        """Append an entry or a job."""
        self._work.append(work)
        self.waiting += isinstance(work, PendingEntry)

    def settle_group(self, entries: int) -> None:
        """The ``entries`` of the last batch wait no more."""
        self.waiting -= entries
        self._last_group = entries

    def drop_late(self, before: float) -> list[Work]:
        """Remove the work that came ``before`` an instant."""
        late: list[Work] = []
        while self._work and self._work[0].since <= before:
            self.waiting -= isinstance(self._work[0], PendingEntry)
            late.append(self._work.popleft())
        return late

    def share(self) -> int:
        """How many entries the next group should have: half of a crowd, or 1.

        Senders that wait for an answer before they send more would end up in one group, and the event loop and the
        disk would wait for each other. Of two groups, one is read and recorded while the other is committed.
        """
        crowd = len(self._work) + self._last_group
        return min((crowd + 1) // 2, GROUP_LIMIT) if crowd >= CROWD else 1

    def take(self, *, exclusive: bool) -> Batch:
        """The content of the next transaction; a job, which may wait for a lock, shares it only if ``exclusive``."""
        batch = Batch([], [], [])
        share = self.share()
        room = share if share > 1 else CROWD
        while self._work and len(batch.entries) < room and len(batch.jobs) < JOB_LIMIT:
            work = self._work[0]
            if not exclusive and (batch.jobs or (batch.entries and isinstance(work, Job))):
                break
            if isinstance(work, Job):
                batch.jobs.append(work)
            else:
                batch.entries.append(work)
            self._work.popleft()
        if exclusive or not batch.jobs:
            self._take_lines(batch)
        return batch

    def _take_lines(self, batch: Batch) -> None:
        room = min(LOG_SHARE, GROUP_LIMIT - len(batch.entries)) if batch.entries else GROUP_LIMIT
        for _ in range(min(room, len(self.lines))):
            batch.lines.append(self.lines.popleft())


class WaitLimit:
    """Calls back when a caller has waited for too long. One timer serves all: the oldest has waited the longest."""

    def __init__(self, longest: timedelta, expire: Callable[[float], float | None]) -> None:
        """``expire`` ends the wait of all who came before an instant; it returns since when the next one waits."""
        self.longest = longest.total_seconds()
        self._expire = expire
        self._timer: TimerHandle | None = None

    def start(self, loop: AbstractEventLoop) -> None:
        """Tell the time by ``loop``."""
        self._loop = loop

    def begin(self) -> float:
        """Start the wait of a caller; the time now."""
        now = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(now + self.longest, self._ring)
        return now

    def shorten(self, longest: timedelta) -> None:
        """Lower the limit, for those who wait already too."""
        self.longest = min(self.longest, longest.total_seconds())
        self.stop()
        self._ring()

    def stop(self) -> None:
        """Call back no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        since = self._expire(self._loop.time() - self.longest)
        self._timer = None if since is None else self._loop.call_at(since + self.longest, self._ring)


def overdue_error(seconds: float) -> StoreUnavailable:
    """The error of a caller who has waited for too long."""
    return StoreUnavailable(f"the database did not commit within {seconds:g} s", "slow")


def _ignore(_outcome: object) -> None:
    """The caller has a result already."""
