"""How many calls one application may still make to Xumm's API, and who makes the next one.

A token bucket, sized so that no period of a minute sees more calls than the limit, however that minute is cut, and
corrected by what the API answers. Xumm's own limits: 60 to 200 calls a minute, told in ``X-RateLimit-Limit`` and
``X-RateLimit-Remaining``, 429 beyond them. All instances of the service and all other software that uses the same
credentials share one limit, so what the API says always lowers what the bucket holds and never raises it.

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
"""Seconds that the limit counts for."""
FIRST_LIMIT: Final = 60
"""The limit until the API tells one: the least that Xumm documents."""
FIRST_CREATIONS: Final = 30
"""How many of the calls may create a payload, until the API tells."""
MAX_LIMIT: Final = 600
MAX_WAITING: Final = 1000
"""How many calls may wait in each priority."""
PAUSE: Final = timedelta(seconds=30)
"""How long to rest after a 429 that does not say."""
MAX_PAUSE: Final = timedelta(minutes=10)

_BURST_SHARE: Final = 6
_ALMOST_ONE: Final = 1 - 1e-6  # rounding may leave less than was waited for


class LineFull(Exception):
    """Too many calls of this priority wait already: this one does not join them. Worth another try later."""


class Priority(IntEnum):
    """Who goes first. Within a priority, first come, first served."""

    URGENT = 0
    """An outcome that somebody waits for."""
    REQUEST = 1
    """A call made for a service that calls our own API with a key."""
    USER = 2
    """A call made for somebody who signed in."""
    STRANGER = 3
    """A call made for somebody who wants to sign in."""
    ROUTINE = 4
    """A look whether anything was missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """How many calls are free at an instant. Values in, values out; an instant in the past changes nothing."""

    limit: int
    """Calls in a `PERIOD`."""
    tokens: float
    at: float
    """When ``tokens`` was counted; in the future while the API wants rest."""

    @classmethod
    def full(cls, limit: int, now: float) -> "Bucket":
        """A bucket that nobody has taken from yet."""
        return cls(limit=limit, tokens=_burst(limit), at=now)

    def refilled(self, now: float) -> "Bucket":
        """With what came in since, up to the burst."""
        if now <= self.at:
            return self
        tokens = min(_burst(self.limit), self.tokens + (now - self.at) * _rate(self.limit))
        return replace(self, tokens=tokens, at=now)

    def wait(self, now: float) -> float:
        """Seconds until the next call is free, 0 if it is."""
        tokens = self.refilled(now).tokens
        missing = 0.0 if tokens >= _ALMOST_ONE else 1 - tokens
        return max(0.0, self.at - now) + missing / _rate(self.limit)

    def taken(self, now: float) -> "Bucket":
        """After a call. `wait` must have been 0."""
        bucket = self.refilled(now)
        return replace(bucket, tokens=max(0.0, bucket.tokens - 1))

    def returned(self, now: float) -> "Bucket":
        """After a call that was taken and then not made. A pause takes it: one call is enough to try."""
        if now < self.at:
            return self
        bucket = self.refilled(now)
        return replace(bucket, tokens=min(_burst(self.limit), bucket.tokens + 1))

    def corrected(self, now: float, *, limit: int | None, remaining: int | None) -> "Bucket":
        """After an answer that told these; what makes no sense as a limit is cut to what does."""
        bucket = self.refilled(now)
        size = bucket.limit if limit is None else max(1, min(limit, MAX_LIMIT))
        tokens = min(bucket.tokens, _burst(size))
        if remaining is not None:
            tokens = min(tokens, max(0, remaining))
        return replace(bucket, limit=size, tokens=tokens)

    def refused(self, now: float, pause: timedelta | None) -> "Bucket":
        """After a 429: nothing for ``pause``, then one call to try, then as ever."""
        rest = PAUSE if pause is None else max(timedelta(seconds=1), min(pause, MAX_PAUSE))
        bucket = self.refilled(now + rest.total_seconds())
        return replace(bucket, tokens=min(1.0, bucket.tokens))


def _burst(limit: int) -> float:
    """Calls that may go at once after a quiet time."""
    return max(1, limit // _BURST_SHARE)


def _rate(limit: int) -> float:
    """Tokens a second. A burst and what comes in after it stay below ``limit`` + 1 in any half-open `PERIOD`."""
    return (limit - _burst(limit) + 1) / PERIOD


class Timer(Protocol):
    """Something that was to happen later."""

    def cancel(self) -> None:
        """Let it not happen."""


class Clock(Protocol):
    """Monotonic time. A running asyncio loop is one."""

    def time(self) -> float:
        """Seconds since some start."""

    def call_later(self, delay: float, callback: Callable[[], object], /) -> Timer:
        """Call ``callback`` in ``delay`` seconds."""


class Budget:
    """The bucket of one application, and the line of those who wait for it.

    Belongs to one event loop; made while that loop runs, unless it gets a clock. Makes no task and needs no closing.
    """

    def __init__(self, *, limit: int = FIRST_LIMIT, max_waiting: int = MAX_WAITING, clock: Clock | None = None) -> None:
        self._clock: Clock = clock or asyncio.get_running_loop()
        self._bucket = Bucket.full(limit, self._clock.time())
        self._lines: dict[Priority, deque[asyncio.Future[None]]] = {priority: deque() for priority in Priority}
        self._max_waiting = max_waiting
        self._timer: Timer | None = None

    @property
    def waiting(self) -> int:
        """How many calls wait."""
        return sum(map(len, self._lines.values()))

    @property
    def wait(self) -> float:
        """Seconds until a call is free, if nobody else waits."""
        return self._bucket.wait(self._clock.time())

    async def acquire(self, priority: Priority) -> None:
        """Wait for one's turn; on return the call may be made. Raises `LineFull` at once.

        One who is cancelled while waiting, even in the very moment of being let through, takes nothing.
        """
        line = self._lines[priority]
        if len(line) >= self._max_waiting:
            raise LineFull(f"{self._max_waiting} calls of priority {priority.name} wait for the rate limit already")
        turn = asyncio.get_running_loop().create_future()
        line.append(turn)
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            self._leave(line, turn)
            raise

    def correct(self, *, limit: int | None, remaining: int | None) -> None:
        """Take in what an answer told of the limit, ``None`` for what it did not tell."""
        self._bucket = self._bucket.corrected(self._clock.time(), limit=limit, remaining=remaining)
        self._serve()

    def refuse(self, pause: timedelta | None) -> None:
        """Take in a 429, with what it asked for, if it did."""
        self._bucket = self._bucket.refused(self._clock.time(), pause)
        self._serve()

    def give_back(self) -> None:
        """Take in that a call which was let through is not made."""
        self._bucket = self._bucket.returned(self._clock.time())
        self._serve()

    def _leave(self, line: deque[asyncio.Future[None]], turn: asyncio.Future[None]) -> None:
        if turn in line:
            line.remove(turn)
        elif not turn.cancelled():
            self._bucket = self._bucket.returned(self._clock.time())
        self._serve()

    def _serve(self) -> None:
        """Let through who can go, and come back when the next one can."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        now = self._clock.time()
        while (line := self._next_line()) is not None:
            wait = self._bucket.wait(now)
            if wait > 0:
                self._timer = self._clock.call_later(wait, self._serve)
                return
            self._bucket = self._bucket.taken(now)
            line.popleft().set_result(None)

    def _next_line(self) -> deque[asyncio.Future[None]] | None:
        """The line whose head goes next. Heads that are cancelled but do not know it yet are sent off."""
        for line in self._lines.values():
            while line and line[0].done():
                line.popleft()
            if line:
                return line
        return None


class Creations:
    """The calls that create payloads: of the budget of all calls, and no more of it than their own lower limit.

    What answers to creations tell of a limit is taken as told of this one.
    """

    def __init__(self, whole: Budget, *, limit: int = FIRST_CREATIONS, clock: Clock | None = None) -> None:
        self._whole = whole
        self._own = Budget(limit=limit, clock=clock)

    @property
    def wait(self) -> float:
        """As `Budget.wait`."""
        return max(self._own.wait, self._whole.wait)

    async def acquire(self, priority: Priority) -> None:
        """As `Budget.acquire`, for both limits. Whoever waits for this one keeps no other call waiting."""
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
