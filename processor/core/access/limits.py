"""How much one caller may ask: token buckets, one for each caller. Time comes as an argument, in seconds."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Literal

MAX_CALLERS: Final = 10_000
"""Buckets that are kept. The one that was not used for the longest goes first: most likely it is full again."""
Rank = Literal["service", "user", "stranger"]
"""Who asks: somebody with a key, somebody who signed in, or anybody."""


class Allowances:
    """So many calls a minute for each caller, the same number at once after a quiet minute."""

    def __init__(self, per_minute: int, *, callers: int = MAX_CALLERS) -> None:
        self._capacity = float(per_minute)
        self._rate = per_minute / 60
        self._callers = callers
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float) -> float:
        """Take one call; 0 if it is allowed, or how many seconds to wait until the next one is."""
        left, wait = self._left(caller, now), self.wait(caller, now)
        self._buckets[caller] = (left if wait else left - 1, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > self._callers:
            self._buckets.popitem(last=False)
        return wait

    def wait(self, caller: str, now: float) -> float:
        """How many seconds until the next call is allowed, 0 if it is. Takes nothing."""
        left = self._left(caller, now)
        return 0.0 if left >= 1 else (1 - left) / self._rate

    def _left(self, caller: str, now: float) -> float:
        left, at = self._buckets.get(caller, (self._capacity, now))
        return min(self._capacity, left + max(now - at, 0.0) * self._rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class Portions:
    """Percent of what an application may have."""

    users: int = 67
    """For users and strangers together: the rest is for services alone."""
    strangers: int = 33
    """For strangers: the rest is for users and services."""
    caller: int = 20
    """For one user, or one address of strangers."""


class Shares:
    """So many calls a minute for each application, of which strangers leave a part to users, and both one to services.

    Whoever ranks higher may use what nobody else asks for.
    """

    def __init__(self, per_minute: int, portions: Portions) -> None:
        users, strangers, caller = (
            Allowances(max(1, per_minute * percent // 100))
            for percent in (portions.users, portions.strangers, portions.caller)
        )
        everybody = Allowances(per_minute)
        self._of_application: dict[Rank, tuple[Allowances, ...]] = {
            "service": (everybody,),
            "user": (everybody, users),
            "stranger": (everybody, users, strangers),
        }
        self._of_caller = caller

    def take(self, app: str, rank: Rank, caller: str, now: float) -> float:
        """Take one call; 0 if it is allowed, or how many seconds to wait until the next one may be."""
        buckets = [(each, app) for each in self._of_application[rank]]
        if rank != "service":
            buckets.append((self._of_caller, f"{app}/{caller}"))
        wait = max(bucket.wait(key, now) for bucket, key in buckets)
        if not wait:
            for bucket, key in buckets:
                bucket.take(key, now)
        return wait
