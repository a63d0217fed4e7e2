"""The budget of calls to Xumm's API: how many calls an application may still make, and which call goes next.

A token bucket, sized so that no minute, wherever it begins, sees more calls than the limit, and corrected by the API's
answers. Xumm's limits: 60 to 200 calls a minute, told in ``X-RateLimit-Limit`` and ``X-RateLimit-Remaining``; 429
beyond them. All instances of the service and all other software with the same credentials share one limit, so an answer
can lower the number of tokens and never raise it.

Instants are seconds of a monotonic clock.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import IntEnum
from typing import Final, Protocol

PERIOD: Final = 60.0
"""Seconds to which the limit applies."""
FIRST_LIMIT: Final = 60
"""The limit until the API tells one: the lowest that Xumm documents."""
FIRST_CREATIONS: Final = 30
"""How many of the calls may create a payload, until the API tells a limit."""
MAX_LIMIT: Final = 600
MAX_WAITING: Final = 1000
"""How many calls may wait in each priority."""
PAUSE: Final = timedelta(seconds=30)
"""How long to pause after a 429 without ``Retry-After``."""
MAX_PAUSE: Final = timedelta(minutes=10)

_BURST_SHARE: Final = 6
_ALMOST_ONE: Final = 1 - 1e-6  # rounding may leave less than was waited for


class BudgetQueueFull(Exception):
    """Too many calls of this priority already wait. The call may be tried again later."""


class Priority(IntEnum):
    """The order of calls. Within a priority, first come, first served."""

    URGENT = 0
    """A lookup of an outcome that is claimed and not yet proven."""
    REQUEST = 1
    """A call for a service that calls our API with a service key."""
    USER = 2
    """A call for a user with a session."""
    STRANGER = 3
    """A call for a caller who is about to sign in."""
    ROUTINE = 4
    """A lookup that checks whether a webhook was missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """The tokens at an instant. Immutable: each method returns a bucket. An instant in the past changes nothing."""

    limit: int
    """Calls in a `PERIOD`."""
    tokens: float
    at: float
    """When ``tokens`` was counted; in the future during a pause."""

    @classmethod
    def full(cls, limit: int, now: float) -> "Bucket":
        """A bucket with all its tokens."""
        return cls(limit=limit, tokens=_burst(limit), at=now)

    def refill(self, now: float) -> "Bucket":
        """The bucket with the tokens added since, up to the burst."""
        if now <= self.at:
            return self
        tokens = min(_burst(self.limit), self.tokens + (now - self.at) * _rate(self.limit))
        return replace(self, tokens=tokens, at=now)

    def wait(self, now: float) -> float:
        """Seconds until a token is free; 0 if one is."""
        tokens = self.refill(now).tokens
        missing = 0.0 if tokens >= _ALMOST_ONE else 1 - tokens
        return max(0.0, self.at - now) + missing / _rate(self.limit)

    def take(self, now: float) -> "Bucket":
        """The bucket after a call. `wait` must have been 0."""
        bucket = self.refill(now)
        return replace(bucket, tokens=max(0.0, bucket.tokens - 1))

    def give_back(self, now: float) -> "Bucket":
        """The bucket after a token that was taken and not used. During a pause the token is lost: one call suffices
        then.
        """
        if now < self.at:
            return self
        bucket = self.refill(now)
        return replace(bucket, tokens=min(_burst(self.limit), bucket.tokens + 1))

    def correct(self, now: float, *, limit: int | None, remaining: int | None) -> "Bucket":
        """The bucket after an answer with these headers. ``limit`` is cut to 1 to `MAX_LIMIT`."""
        bucket = self.refill(now)
        size = bucket.limit if limit is None else max(1, min(limit, MAX_LIMIT))
        tokens = min(bucket.tokens, _burst(size))
        if remaining is not None:
            tokens = min(tokens, max(0, remaining))
        return replace(bucket, limit=size, tokens=tokens)

    def refuse(self, now: float, pause: timedelta | None) -> "Bucket":
        """The bucket after a 429: no call for ``pause``, then a single call, then as before."""
        rest = PAUSE if pause is None else max(timedelta(seconds=1), min(pause, MAX_PAUSE))
        bucket = self.refill(now + rest.total_seconds())
        return replace(bucket, tokens=min(1.0, bucket.tokens))


def _burst(limit: int) -> float:
    """Calls that may go at once after an idle time."""
    return max(1, limit // _BURST_SHARE)


def _rate(limit: int) -> float:
    """Tokens per second. A burst and the tokens added after it stay below ``limit`` + 1 in any half-open `PERIOD`."""
    return (limit - _burst(limit) + 1) / PERIOD


class Timer(Protocol):
    """A scheduled call."""

    def cancel(self) -> None:
        """Cancel the call."""


class Clock(Protocol):
    """Monotonic time and timers. A running asyncio loop is one."""

    def time(self) -> float:
        """Seconds since an arbitrary start."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call ``callback`` in ``delay`` seconds."""


class Budget:
    """The bucket of one application, and the calls that wait for a token.

    A budget belongs to one event loop and is made while that loop runs, unless it gets a clock. It starts no task and
    needs no closing.
    """

    def __init__(self, *, limit: int = FIRST_LIMIT, max_waiting: int = MAX_WAITING, clock: Clock | None = None) -> None:
        self._clock: Clock = clock or asyncio.get_running_loop()
        self._bucket = Bucket.full(limit, self._clock.time())
        self._queues: dict[Priority, deque[asyncio.Future[None]]] = {priority: deque() for priority in Priority}
        self._max_waiting = max_waiting
        self._timer: Timer | None = None

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return sum(map(len, self._queues.values()))

    @property
    def wait(self) -> float:
        """Seconds until a token is free, if no call waits."""
        return self._bucket.wait(self._clock.time())

    async def acquire(self, priority: Priority) -> None:
        """Wait for a token; on return the call may be made. Raises `BudgetQueueFull` at once.

        A caller that is cancelled while it waits takes no token, even if it was granted one in the same turn of the
        loop.
        """
        queue = self._queues[priority]
        if len(queue) >= self._max_waiting:
            raise BudgetQueueFull(
                f"{self._max_waiting} calls of priority {priority.name} wait for the rate limit already"
            )
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            self._abandon(queue, turn)
            raise

    def correct(self, *, limit: int | None, remaining: int | None) -> None:
        """Apply the limit and the remaining calls that an answer told; ``None``: it did not tell."""
        self._bucket = self._bucket.correct(self._clock.time(), limit=limit, remaining=remaining)
        self._serve()

    def refuse(self, pause: timedelta | None) -> None:
        """Apply a 429 with the pause that it asked for, if it did."""
        self._bucket = self._bucket.refuse(self._clock.time(), pause)
        self._serve()

    def give_back(self) -> None:
        """Return the token of a call that is not made."""
        self._bucket = self._bucket.give_back(self._clock.time())
        self._serve()

    def _abandon(self, queue: deque[asyncio.Future[None]], turn: asyncio.Future[None]) -> None:
        if turn in queue:
            queue.remove(turn)
        elif not turn.cancelled():
            self._bucket = self._bucket.give_back(self._clock.time())
        self._serve()

    def _serve(self) -> None:
        """Grant the tokens that are free, and set a timer for the next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock.time()
        while (queue := self._next_queue()) is not None:
            wait = self._bucket.wait(now)
            if wait > 0:
                self._timer = self._clock.call_later(wait, self._serve)
                return
            self._bucket = self._bucket.take(now)
            queue.popleft().set_result(None)

    def _next_queue(self) -> deque[asyncio.Future[None]] | None:
        """The queue whose head goes next. Heads that were cancelled are removed."""
        for queue in self._queues.values():
            while queue and queue[0].done():
                queue.popleft()
            if queue:
                return queue
        return None


class CreationBudget:
    """The budget of calls that create payloads: a lower limit of their own within the budget of all calls.

    The limit that an answer to such a call tells is applied to this one.
    """

    def __init__(self, whole: Budget, *, limit: int = FIRST_CREATIONS, clock: Clock | None = None) -> None:
        self._whole = whole
        self._own = Budget(limit=limit, clock=clock)

    @property
    def wait(self) -> float:
        """As `Budget.wait`."""
        return max(self._own.wait, self._whole.wait)

    async def acquire(self, priority: Priority) -> None:
        """As `Budget.acquire`, for both limits. A call that waits for this limit delays no other call."""
        await self._own.acquire(priority)
        try:
            await self._whole.acquire(priority)
        except BaseException:
            self._own.give_back()
            raise

    def correct(self, *, limit: int | None, remaining: int | None) -> None:
        """As `Budget.correct`."""
        self._own.correct(limit=limit, remaining=remaining)

    def refuse(self, pause: timedelta | None) -> None:
        """As `Budget.refuse`."""
        self._own.refuse(pause)
