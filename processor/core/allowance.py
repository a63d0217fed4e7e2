"""How much one caller may ask: token buckets, one for each caller. Time comes as an argument, in seconds."""

from collections import OrderedDict
from typing import Final

MAX_CALLERS: Final = 10_000
"""Buckets that are kept. The one that was not used for the longest goes first: most likely it is full again."""


class Allowances:
    """So many calls a minute for each caller, the same number at once after a quiet minute."""

    def __init__(self, per_minute: int, *, callers: int = MAX_CALLERS) -> None:
        self._capacity = float(per_minute)
        self._rate = per_minute / 60
        self._callers = callers
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float) -> float:
        """Take one call; 0 if it is allowed, or how many seconds to wait until the next one is."""
        left, at = self._buckets.pop(caller, (self._capacity, now))
        left = min(self._capacity, left + max(now - at, 0.0) * self._rate)
        allowed = left >= 1
        self._buckets[caller] = (left - 1 if allowed else left, now)
        if len(self._buckets) > self._callers:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._rate
