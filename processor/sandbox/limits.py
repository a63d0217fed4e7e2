"""Rate limits as Xumm sets them: so many calls in each minute, told on every answer."""

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
    """A counter that starts anew each minute."""

    limit: int
    _used: int = field(default=0, init=False)
    _resets_at: datetime | None = field(default=None, init=False)

    def take(self, now: datetime) -> Allowance:
        """Count one call at ``now``. A call over the limit is not granted, and not counted."""
        if self._resets_at is None or now >= self._resets_at:
            self._used, self._resets_at = 0, now + WINDOW
        if self._used >= self.limit:
            return Allowance(granted=False, limit=self.limit, remaining=0)
        self._used += 1
        return Allowance(granted=True, limit=self.limit, remaining=self.limit - self._used)
