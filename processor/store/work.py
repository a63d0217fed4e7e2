"""Work for the writer: entries and jobs, how many may wait and for how long, and how their callers get the results."""

from asyncio import AbstractEventLoop, Future, TimerHandle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NamedTuple

import structlog

from processor.core.errors import StoreUnavailable
from processor.core.payload.entry import Quarantined, Refused, Reported
from processor.store.store import Store

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


def settle(future: "Future[Any]", outcome: Any) -> None:
    """Resolve ``future`` unless it was cancelled."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)


def overdue(seconds: float) -> StoreUnavailable:
    """The error of a caller who has waited for too long."""
    return StoreUnavailable(f"the database did not commit within {seconds:g} s", "slow")


def _ignore(_outcome: object) -> None:
    """The caller has a result already."""
