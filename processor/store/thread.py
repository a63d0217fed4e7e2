"""The store's one thread: takes work from a queue, commits it in groups, tells the event loop.

Entries queue up while a commit runs, and the next commit takes all that wait: the busier it is, the less each costs.
"""

import threading
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from traceback import extract_tb
from typing import Any, Final

import structlog

from processor.core.errors import StoreError, StoreUnavailable
from processor.store.entry import Entry, Quarantined, Recorded, Refused, Reported
from processor.store.recording import GROUP_LIMIT
from processor.store.store import Store

LOG_DELAY: Final = 1.0
"""Seconds that a line of the delivery log waits for company, at most."""
LOG_SHARE: Final = 64
"""How many lines of the delivery log go along with a group that somebody waits for."""
DEPTH_AGE: Final = 10.0
"""Seconds after which the depth of an outbox that others write to is counted again."""

Outcome = Recorded | Exception

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry whose commit somebody waits for."""

    entry: Reported | Quarantined
    future: "Future[Recorded]"


@dataclass(frozen=True, slots=True)
class Job:
    """Anything else to be done with the store."""

    function: Callable[[Store], Any]
    future: "Future[Any]"


@dataclass(frozen=True, slots=True)
class Stop:
    """The last thing in the queue."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Entries that went to the database together, and what became of each."""

    waiting: Sequence[Waiting]
    outcomes: Sequence[Outcome]
    lost_log_lines: int
    doubtful: bool
    """The connection was lost: some may have been committed without an answer."""


class StoreThread:
    """Runs from `start` until a `Stop` comes by. ``deliver`` and ``end`` are called in the event loop."""

    def __init__(
        self,
        *,
        clock: Callable[[], datetime],
        deliver: Callable[[Group], None],
        end: Callable[[], None],
    ) -> None:
        self.queue: SimpleQueue[Waiting | Job | Stop] = SimpleQueue()
        self.log_lines: deque[Refused] = deque()
        self._clock = clock
        self._deliver = deliver
        self._end = end
        self._next: Waiting | Job | Stop | None = None
        self._at_hand: Sequence[Waiting | Job] = ()

    def start(self, loop: AbstractEventLoop, open_store: Callable[[], Store]) -> "Future[Store]":
        """Resolves when the store is open, with what it raised if it could not be."""
        self._loop = loop
        opened: Future[Store] = loop.create_future()
        # A daemon, since an interpreter that is told to exit is not to wait for a database that does not answer.
        threading.Thread(target=self._work, args=[open_store, opened], name="store", daemon=True).start()
        return opened

    def abandoned(self) -> Iterator[Waiting | Job]:
        """What was not done when the thread ended."""
        yield from self._at_hand
        with suppress(Empty):
            while True:
                work = self._next or self.queue.get_nowait()
                self._next = None
                if not isinstance(work, Stop):
                    yield work

    def _work(self, open_store: Callable[[], Store], opened: "Future[Store]") -> None:
        try:
            store = open_store()
        except Exception as error:  # noqa: BLE001  it is raised in the loop
            self._tell(settle, opened, error)
            return
        self._tell(settle, opened, store)
        try:
            with store:
                self._serve(store)
        except BaseException as error:
            log.error("store.thread_failed", error=repr(error), exc_info=error)
        finally:
            self._tell(self._end)

    def _serve(self, store: Store) -> None:
        logged_at = counted_at = monotonic()
        while not isinstance(work := self._take(), Stop):
            if isinstance(work, Job):
                self._at_hand = [work]
                self._run(store, work)
            else:
                self._at_hand = work
                self._write(store, work)
            now = monotonic()
            if self.log_lines and now - logged_at > LOG_DELAY:
                logged_at = now
                self._write(store, [])
            if not store.exclusive and now - counted_at > DEPTH_AGE:
                counted_at = now
                _recount(store)
        self._at_hand = ()
        self._write(store, [])

    def _take(self) -> list[Waiting] | Job | Stop:
        """The next job, or all entries that come before it; no entries when nothing came for a while."""
        group: list[Waiting] = []
        with suppress(Empty):
            while len(group) < GROUP_LIMIT:
                work = self._next or self.queue.get(block=not group, timeout=LOG_DELAY)
                self._next = None
                if isinstance(work, Waiting):
                    group.append(work)
                    continue
                if not group:
                    return work
                self._next = work
                break
        return group

    def _run(self, store: Store, job: Job) -> None:
        try:
            with store.transaction():
                outcome = job.function(store)
        except Exception as error:  # noqa: BLE001  it is raised in the loop
            outcome = error
            _recount(store)
        self._tell(settle, job.future, outcome)

    def _write(self, store: Store, waiting: Sequence[Waiting]) -> None:
        room = min(LOG_SHARE, GROUP_LIMIT - len(waiting)) if waiting else GROUP_LIMIT
        lines = [self.log_lines.popleft() for _ in range(min(room, len(self.log_lines)))]
        entries = [*(each.entry for each in waiting), *lines]
        if not entries:
            return
        outcomes = list(self._outcomes(store, entries))
        group = Group(
            waiting=waiting,
            outcomes=outcomes[: len(waiting)],
            lost_log_lines=sum(isinstance(outcome, Exception) for outcome in outcomes[len(waiting) :]),
            doubtful=not store.exclusive and any(isinstance(outcome, StoreUnavailable) for outcome in outcomes),
        )
        self._tell(self._deliver, group)

    def _outcomes(self, store: Store, entries: Sequence[Entry]) -> Iterator[Outcome]:
        """What becomes of each: where one cannot be stored, its neighbours still are."""
        try:
            yield from store.record(entries, self._clock())
        except StoreUnavailable as error:
            log.error("store.unavailable", entries=len(entries), error=str(error))
            yield from (StoreUnavailable(str(error)) for _ in entries)
        except Exception as error:  # noqa: BLE001  raised in the loop, as a `StoreError`
            if len(entries) > 1:
                for entry in entries:
                    yield from self._outcomes(store, [entry])
                return
            # Messages of errors quote what they are about, so only what kind it is and where may be told.
            places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in extract_tb(error.__traceback__)]
            log.error("store.entry_failed", error=type(error).__name__, places=places)
            yield StoreError(f"an entry could not be stored: {type(error).__name__}")

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(callback, *arguments)


def settle(future: "Future[Any]", outcome: Any) -> None:
    """Resolve ``future`` unless it was cancelled."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def _recount(store: Store) -> None:
    with suppress(StoreError):
        store.outbox_depth()
