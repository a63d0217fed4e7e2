"""What becomes of a message whose handler failed: a decision as a value."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from consumers.runtime.errors import Fatal, Retry
from processor.observability.redaction import clean_line, describe
from schemas.topology import MAX_DELIVERIES, RETRY_DELAYS_SECONDS

MAX_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledge:
    """Acknowledge it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PutOff:
    """Put it off by ``delay``, one of the delays that a retry queue exists for."""

    delay: timedelta
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Dead-letter it."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PutBack:
    """Have it delivered again as if for the first time: it was held for long, and nothing is known against it."""


Decision = Acknowledge | PutOff | GiveUp | PutBack


def decide_returned(returns: int) -> GiveUp | None:
    """The fate of a message that came ``returns`` times before without being settled; None: it is to be handled."""
    if returns < MAX_DELIVERIES:
        return None
    return GiveUp(reason=f"it came {returns} times without being settled, as after crashes")


def decide_failed(error: Exception, *, attempts: int, max_attempts: int = MAX_ATTEMPTS) -> Decision:
    """The fate of a message that failed ``attempts`` times before this ``error``."""
    reason = clean_line(str(error)) if isinstance(error, Fatal | Retry) else describe(error)
    if isinstance(error, Fatal) or attempts + 1 >= max_attempts:
        return GiveUp(reason=reason)
    after = error.after if isinstance(error, Retry) else None
    return PutOff(delay=_delay(attempts, after), reason=reason)


def _delay(attempts: int, after: timedelta | None) -> timedelta:
    """The delay whose turn it is, or the first that is long enough for ``after``; else the longest."""
    turns = [timedelta(seconds=seconds) for seconds in RETRY_DELAYS_SECONDS]
    candidates = turns[min(attempts, len(turns) - 1) :]
    return next((delay for delay in candidates if after is None or delay >= after), turns[-1])
