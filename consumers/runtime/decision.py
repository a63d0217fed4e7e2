"""Decides what becomes of a message: acknowledge, retry later, dead-letter or put back."""

from dataclasses import dataclass
from datetime import timedelta

from consumers.runtime.errors import Fatal, Retry
from processor.observability.redaction import clean_line, describe
from schemas.topology import MAX_DELIVERIES, RETRY_DELAYS_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """Acknowledge the message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOff:
    """Deliver the message again after ``delay``, for which a retry queue exists."""

    delay: timedelta
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Dead-letter the message."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """Deliver the message again without counting an attempt: it was held too long through no fault of its own."""


Decision = Acknowledge | PutOff | GiveUp | PutBack


def decide_returned(returns: int) -> GiveUp | None:
    """Decide on a message that was delivered ``returns`` times without being settled; None: handle it."""
    if returns < MAX_DELIVERIES:
        return None
    return GiveUp(reason=f"it came {returns} times without being settled, as after crashes")


def decide_failed(error: Exception, *, attempts: int, max_attempts: int) -> Decision:
    """Decide on a message that failed ``attempts`` times before this ``error``."""
    reason = clean_line(str(error)) if isinstance(error, Fatal | Retry) else describe(error)
    if isinstance(error, Fatal) or attempts + 1 >= max_attempts:
        return GiveUp(reason=reason)
    after = error.after if isinstance(error, Retry) else None
    return PutOff(delay=_delay(attempts, after), reason=reason)


def _delay(attempts: int, after: timedelta | None) -> timedelta:
    """The delay of this attempt, or the first later one that is at least ``after``; else the longest."""
    turns = [timedelta(seconds=seconds) for seconds in RETRY_DELAYS_SECONDS]
    candidates = turns[min(attempts, len(turns) - 1) :]
    return next((delay for delay in candidates if after is None or delay >= after), turns[-1])
