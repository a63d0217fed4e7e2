"""Rate limits as Xumm sets them: so many calls in each minute, which slides, told on every answer.

Source: https://docs.xaman.dev/concepts/limitations/rate-limits
"""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

WINDOW: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Calls a minute of one application. Xumm's vary: these are the low ends."""

    calls: int = 60
    creations: int = 30
    """``POST payload``, counted apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What one call is told."""

    granted: bool
    limit: int
    remaining: int


@dataclass(slots=True, kw_only=True)
class RateLimit:
    """Counts the calls of the past minute."""

    limit: int
    _taken: deque[datetime] = field(default_factory=deque, init=False)

    def take(self, now: datetime) -> Allowance:
        """Count one call at ``now``. A call over the limit is not granted, and not counted."""
        while self._taken and now >= self._taken[0] + WINDOW:
            self._taken.popleft()
        if len(self._taken) >= self.limit:
            return Allowance(granted=False, limit=self.limit, remaining=0)
        self._taken.append(now)
        return Allowance(granted=True, limit=self.limit, remaining=self.limit - len(self._taken))
