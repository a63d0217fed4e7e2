"""Time that passes only when a test says so, for a service and a sandbox that share it."""

import asyncio
import heapq
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Final

START: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class DrivenClock:
    """A clock that stands still; who sleeps by it wakes when it is moved far enough."""

    def __init__(self) -> None:
        self.now = START
        self._number = count()
        self._sleepers: list[tuple[datetime, int, asyncio.Future[None]]] = []

    def __call__(self) -> datetime:
        return self.now

    @property
    def seconds(self) -> float:
        """Since the start."""
        return (self.now - START).total_seconds()

    def time(self) -> float:
        """Monotonic, in seconds."""
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        """Return once so many seconds were let pass."""
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + timedelta(seconds=seconds), next(self._number), woken))
        await woken

    def advance(self, seconds: float) -> None:
        """Let time pass, and wake who has slept enough."""
        self.now += timedelta(seconds=seconds)
        while self._sleepers and self._sleepers[0][0] <= self.now:
            woken = heapq.heappop(self._sleepers)[2]
            if not woken.done():
                woken.set_result(None)
