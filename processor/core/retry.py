"""Whether and when to retry, for lookups, connections, publishing, the store and requests."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Final

from processor.core.errors import Denied, LookupFailed, NormalizeError, Unavailable


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Delays that double from ``first`` up to ``cap``, each multiplied by 1 - ``jitter`` to 1 at random."""

    first: timedelta
    cap: timedelta
    jitter: float = 0.5

    def delay(self, attempt: int, chance: float) -> timedelta:
        """The delay after failed attempt number ``attempt``, from 1. ``chance`` is random in [0, 1)."""
        exponent = min(attempt - 1, 32)
        full: timedelta = min(self.first * 2**exponent, self.cap)
        return full * (1 - self.jitter * chance)

    def delays(self, chance: Callable[[], float]) -> Iterator[timedelta]:
        """The waits after the first failed attempt, the second and so on, without end."""
        return (self.delay(attempt, chance()) for attempt in count(1))


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryDecision:
    """Retry after ``delay``; give up if it is None."""

    delay: timedelta | None


LOOKUP: Final = Backoff(first=timedelta(seconds=2), cap=timedelta(minutes=10))
CONNECT: Final = Backoff(first=timedelta(milliseconds=250), cap=timedelta(seconds=30))
PUBLISH: Final = Backoff(first=timedelta(milliseconds=200), cap=timedelta(seconds=15))
STORE: Final = Backoff(first=timedelta(milliseconds=250), cap=timedelta(seconds=5))
CONSUME: Final = Backoff(first=timedelta(milliseconds=500), cap=timedelta(seconds=30))
REFUSED: Final = Backoff(first=timedelta(seconds=1), cap=timedelta(minutes=1))
"""For a queue that refuses events that other queues take."""
REQUEST: Final = Backoff(first=timedelta(milliseconds=300), cap=timedelta(seconds=3))
REQUEST_ATTEMPTS: Final = 4
IDEMPOTENT: Final = frozenset({"GET", "DELETE"})
"""Methods that may be repeated whether the first call succeeded or not."""
LONGEST_RETRY_AFTER: Final = timedelta(days=1)
LOOKUP_PATIENCE: Final = timedelta(hours=24)
"""How long an outcome is looked up before the payload is flagged for a human."""
_SECONDS_DIGITS: Final = 9


def decide_lookup(
    error: LookupFailed | NormalizeError | None, *, attempt: int, age: timedelta, chance: float
) -> RetryDecision:
    """The decision after a lookup that failed, or, with None, whose answer did not resolve the payload.

    A denied lookup is retried too, slowly: credentials get repaired, and giving up would lose an outcome.
    """
    if age >= LOOKUP_PATIENCE:
        return RetryDecision(delay=None)
    match error:
        case Denied() | NormalizeError():
            return RetryDecision(delay=LOOKUP.cap)
        case Unavailable(retry_after=timedelta() as wanted):
            return RetryDecision(delay=max(min(wanted, LOOKUP.cap), LOOKUP.delay(attempt, chance)))
        case _:
            return RetryDecision(delay=LOOKUP.delay(attempt, chance))


def decide_request(error: LookupFailed, *, method: str, attempt: int, left: timedelta, chance: float) -> RetryDecision:
    """The decision after a failed call of Xumm's API for a caller who waits for ``left`` at most.

    A call that creates something is repeated only if the first call certainly created nothing.
    """
    if not isinstance(error, Unavailable) or attempt >= REQUEST_ATTEMPTS:
        return RetryDecision(delay=None)
    if method not in IDEMPOTENT and not error.untouched:
        return RetryDecision(delay=None)
    delay = max(REQUEST.delay(attempt, chance), error.retry_after or timedelta(0))
    return RetryDecision(delay=delay if delay < left else None)


def parse_retry_after(value: str, now: datetime) -> timedelta | None:
    """``Retry-After`` of an HTTP answer, in seconds or as a date (RFC 9110 section 10.2.3): from nothing to a day.

    None if ``value`` is neither.
    """
    text = value.strip()
    if text.isascii() and text.isdigit() and len(text) <= _SECONDS_DIGITS:
        return min(timedelta(seconds=int(text)), LONGEST_RETRY_AFTER)
    try:
        moment = parsedate_to_datetime(text)
        wait = moment.replace(tzinfo=moment.tzinfo or UTC) - now
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(wait, timedelta(0)), LONGEST_RETRY_AFTER)
