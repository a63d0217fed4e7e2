"""Which of the events that a queue has not taken to try next, and when.

While the queue refuses events, two are tried at a time, at growing intervals: enough to see whether the queue takes
events again, and whether one event is refused for its own sake. Then each batch is twice as large as the one before. If
a part of a batch is refused, the next batch is as large as the accepted part, and follows a second later.
"""

from collections import Counter, deque
from collections.abc import Callable
from typing import Final

from processor.core.retry import REFUSED

LEAST: Final = 2
MOST: Final = 100
"""Events of a batch: fewer than a channel keeps in order."""
_PATIENCE: Final = 3
"""How often an event may be refused while the queue takes a later one, before it is moved behind all others."""


class Backlog:
    """The positions of the events that wait for one queue, in order. ``now`` is in seconds."""

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()
        self._trying: dict[int, bool | None] = {}
        self._open: set[int] = set()
        self._batch = MOST
        self._failures = 0
        self._due = 0.0
        self._passed_over: Counter[int] = Counter()

    def __bool__(self) -> bool:
        """Whether later events must wait."""
        return bool(self._waiting or self._trying)

    @property
    def due(self) -> float | None:
        """When `take` returns a batch; None if that is not known yet."""
        return self._due if self._waiting and not self._open else None

    def add(self, position: int) -> None:
        """Add an event behind the others."""
        self._waiting.append(position)

    def refuse(self, position: int, now: float, chance: float) -> None:
        """Add an event that the queue refused. ``chance`` is random in [0, 1)."""
        self.add(position)
        if not self._failures and not self._trying:
            self._back_off(now, chance)

    def wake(self, now: float) -> None:
        """Make the next batch due: the queue took an event."""
        self._failures = 0
        self._due = min(self._due, now)

    def take(self, now: float, wanted: Callable[[int], bool]) -> list[int]:
        """The next batch. Each event of it must be settled. Drops events that are not ``wanted``."""
        if self._open or now < self._due:
            return []
        while self._waiting and len(self._trying) < self._batch:
            position = self._waiting.popleft()
            if wanted(position):
                self._trying[position] = None
        self._open = set(self._trying)
        return list(self._trying)

    def settle(self, position: int, now: float, chance: float, *, taken: bool | None) -> None:
        """Record whether the queue took an event of the batch. None: unknown, so the event is tried again."""
        if position not in self._open:
            return
        self._trying[position] = taken
        self._open.discard(position)
        if not self._open:
            self._finish(now, chance)

    def _finish(self, now: float, chance: float) -> None:
        outcomes, self._trying = self._trying, {}
        last_taken = max((position for position, taken in outcomes.items() if taken), default=-1)
        again = [
            position
            for position, taken in outcomes.items()
            if taken is None or (not taken and not self._is_refused_itself(position, last_taken))
        ]
        self._waiting.extendleft(reversed(again))
        if False in outcomes.values():
            self._failures = 0 if last_taken >= 0 else self._failures
            self._back_off(now, chance)
            self._batch = max(LEAST, sum(taken is True for taken in outcomes.values()))
        elif None not in outcomes.values():
            self._failures = 0
            self._batch = min(MOST, 2 * self._batch)

    def _is_refused_itself(self, position: int, last_taken: int) -> bool:
        if position > last_taken:
            return False
        self._passed_over[position] += 1
        if self._passed_over[position] < _PATIENCE:
            return False
        del self._passed_over[position]
        self._waiting.append(position)
        return True

    def _back_off(self, now: float, chance: float) -> None:
        self._failures += 1
        self._batch = LEAST
        self._due = now + REFUSED.delay(self._failures, chance).total_seconds()
