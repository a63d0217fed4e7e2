"""What has been used up, in memory: for one instance."""

import heapq
from collections.abc import Callable
from datetime import datetime
from typing import Final

MAX_SPENT: Final = 100_000


class SpentInMemory:
    """Remembers at most `MAX_SPENT` things at once; when it is full, nothing more can be used."""

    def __init__(self, *, clock: Callable[[], datetime], limit: int = MAX_SPENT) -> None:
        self._clock = clock
        self._limit = limit
        self._used: set[str] = set()
        self._order: list[tuple[datetime, str]] = []

    async def first(self, used: str, until: datetime) -> bool:
        """Whether nobody used this before, as far as this process knows. It is remembered until then."""
        self._forget(self._clock())
        if used in self._used or len(self._used) >= self._limit:
            return False
        self._used.add(used)
        heapq.heappush(self._order, (until, used))
        return True

    def _forget(self, now: datetime) -> None:
        while self._order and self._order[0][0] <= now:
            self._used.discard(heapq.heappop(self._order)[1])
