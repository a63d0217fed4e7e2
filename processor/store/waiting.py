"""What waits for the writer, how much of it may and for how long, and how those who wait are told."""

from asyncio import AbstractEventLoop, Future, TimerHandle
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

import structlog

from processor.core.errors import StoreError, StoreUnavailable
from processor.core.payload.entry import Quarantined, Recorded, Refused, Reported
from processor.store.store import Store

Outcome = Recorded | StoreError
Settle = Callable[[Outcome], None]
"""Hears once, on the event loop, what became of an entry."""

PATIENCE: Final = timedelta(seconds=10)
"""How long anything waits for the store: Xumm's sender gives up after 15 s."""

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
    """After which whoever waits is told `StoreUnavailable`, and a transaction is interrupted."""


@dataclass(slots=True, eq=False)
class Work:
    """Something to be done with the store, which somebody has waited for since then by the event loop's clock."""

    settle: Callable[[Any], None]
    since: float

    def tell(self, outcome: object) -> None:
        """Tell who waits, once; what goes wrong there is no reason not to tell the next."""
        settle, self.settle = self.settle, _told
        try:
            settle(outcome)
        except Exception:
            log.exception("store.callback_failed")


@dataclass(slots=True, eq=False)
class Waiting(Work):
    """An entry whose commit somebody waits for."""

    entry: Reported | Quarantined


@dataclass(slots=True, eq=False)
class Job(Work):
    """Anything else to be done with the store."""

    function: Callable[[Store], Any]


class Batch(NamedTuple):
    """What one transaction does."""

    waiting: list[Waiting]
    lines: list[Refused]
    jobs: list[Job]


class Patience:
    """Rings when somebody has waited for too long. One timer serves all: the first to come has waited the longest."""

    def __init__(self, longest: timedelta, expire: Callable[[float], float | None]) -> None:
        """``expire`` tells all who came before an instant; it returns since when the next one waits, if one does."""
        self.longest = longest.total_seconds()
        self._expire = expire
        self._timer: TimerHandle | None = None

    def start(self, loop: AbstractEventLoop) -> None:
        """Tell the time by ``loop``."""
        self._loop = loop

    def begin(self) -> float:
        """Somebody begins to wait: the time."""
        now = self._loop.time()
        if self._timer is None:
            self._timer = self._loop.call_at(now + self.longest, self._ring)
        return now

    def shorten(self, longest: timedelta) -> None:
        """From now on nobody waits for longer than this."""
        self.longest = min(self.longest, longest.total_seconds())
        self.stop()
        self._ring()

    def stop(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        since = self._expire(self._loop.time() - self.longest)
        self._timer = None if since is None else self._loop.call_at(since + self.longest, self._ring)


def settle(future: "Future[Any]", outcome: Any) -> None:
    """Resolve ``future`` unless it was cancelled."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def overdue(seconds: float) -> StoreUnavailable:
    """What those hear who have waited for too long."""
    return StoreUnavailable(f"the database did not commit within {seconds:g} s", "slow")


def _told(_outcome: object) -> None:
    """Whoever waited was told already."""
