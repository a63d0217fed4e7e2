"""Time that passes only when a test says so, for a service and a sandbox that share it."""

import asyncio
import heapq
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

START: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class DrivenClock:
    """A clock that stands still; who sleeps by it wakes when it is moved far enough."""

    def __init__(self) -> None:
        self.now = START
        self._number = count()
        self._alarms: list[tuple[datetime, int, Alarm]] = []

    def __call__(self) -> datetime:
        return self.now

    @property
    def seconds(self) -> float:
        """Since the start."""
        return (self.now - START).total_seconds()

    def time(self) -> float:
        """Monotonic, in seconds."""
        return self.seconds

    def call_later(self, delay: float, callback: Callable[[], object], /) -> "Alarm":
        """Call ``callback`` once so many seconds were let pass."""
        alarm = Alarm(callback)
        heapq.heappush(self._alarms, (self.now + timedelta(seconds=delay), next(self._number), alarm))
        return alarm

    async def sleep(self, seconds: float) -> None:
        """Return once so many seconds were let pass."""
        woken = asyncio.Event()
        self.call_later(seconds, woken.set)
        await woken.wait()

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake who has waited enough."""
        self.now += timedelta(seconds=seconds)
        while self._alarms and self._alarms[0][0] <= self.now:
            heapq.heappop(self._alarms)[2].ring()


class Alarm:
    """Something that is to happen later."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self._callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        """Let it not happen."""
        self._callback = None

    def ring(self) -> None:
        """Let it happen, unless it was cancelled."""
        if self._callback is not None:
            self._callback()
