"""Rate limits for callers of our own API, as token buckets. Times are seconds of a monotonic clock."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final, Literal

MAX_CALLERS: Final = 10_000
"""Buckets that are kept. The least recently used one is dropped first: most likely it is full again."""
Rank = Literal["service", "user", "stranger"]
"""Who calls: a service with a key, a user who signed in, or anybody else."""


class CallLimits:
    """A number of calls a minute for each caller, and the same number at once after a quiet minute."""

    def __init__(self, per_minute: int, *, callers: int = MAX_CALLERS) -> None:
        self._capacity = float(per_minute)
        self._rate = per_minute / 60
        self._callers = callers
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float) -> float:
        """Count one call. Returns 0 if it is allowed, else the seconds until the next call is."""
        left, wait = self._left(caller, now), self.wait(caller, now)
        self._buckets[caller] = (left if wait else left - 1, now)
        self._buckets.move_to_end(caller)
        if len(self._buckets) > self._callers:
            self._buckets.popitem(last=False)
        return wait

    def wait(self, caller: str, now: float) -> float:
        """The seconds until the next call is allowed, 0 if it is now. Counts nothing."""
        left = self._left(caller, now)
        return 0.0 if left >= 1 else (1 - left) / self._rate

    def _left(self, caller: str, now: float) -> float:
        left, at = self._buckets.get(caller, (self._capacity, now))
        return min(self._capacity, left + max(now - at, 0.0) * self._rate)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestShares:
    """Shares of an application's limit, in percent."""

    users: int = 67
    """Of users and strangers together: the rest is for services alone."""
    strangers: int = 33
    """Of strangers: the rest is for users and services."""
    caller: int = 20
    """Of one user, or of one address of strangers."""


class RequestLimits:
    """A number of calls a minute for each application. Shares are reserved for services, and for services and users.

    A caller of a higher rank may use the shares of the lower ranks.
    """

    def __init__(self, per_minute: int, shares: RequestShares) -> None:
        users, strangers, caller = (
            CallLimits(max(1, per_minute * percent // 100))
            for percent in (shares.users, shares.strangers, shares.caller)
        )
        everybody = CallLimits(per_minute)
        self._of_application: dict[Rank, tuple[CallLimits, ...]] = {
            "service": (everybody,),
            "user": (everybody, users),
            "stranger": (everybody, users, strangers),
        }
        self._of_caller = caller

    def take(self, app: str, rank: Rank, caller: str, now: float) -> float:
        """Count one call. Returns 0 if it is allowed, else the seconds until the next call may be."""
        buckets = [(each, app) for each in self._of_application[rank]]
        if rank != "service":
            buckets.append((self._of_caller, f"{app}/{caller}"))
        wait = max(bucket.wait(key, now) for bucket, key in buckets)
        if not wait:
            for bucket, key in buckets:
                bucket.take(key, now)
        return wait
