"""Which payloads need a status socket and until when, which messages are news, and when a lost socket is reopened."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from processor.core.application import PayloadPolicy
from processor.core.payload.learning import STATUS_FACTS
from processor.core.payload.state import ANSWERED, Fact, PayloadState
from processor.core.reports.report import StatusReport
from processor.core.retry import Backoff

KEEPALIVE: Final = timedelta(seconds=15)
"""How often Xumm sends something on an open socket."""
SILENCE: Final = 3 * KEEPALIVE
"""The pause after which a socket counts as dead: sockets die without notice."""
STEADY_AFTER: Final = timedelta(seconds=30)
"""How long a connection must live to end a run of failures."""
ABSENT_LIMIT: Final = 5
"""How often in a row a socket may say that there is no such payload: usual just after the payload was created."""
RECONNECT: Final = Backoff(first=timedelta(seconds=1), cap=timedelta(minutes=5))
LATE_AFTER: Final = timedelta(seconds=10)
"""The time after which the first socket of a payload counts as late, and causes a routine lookup: users open a push
within seconds, and a socket replays nothing. Normally a socket opens within a second."""
EXPIRY_SLACK: Final = timedelta(seconds=60)
"""How long a payload that nobody opened is watched after its expiry, since clocks may differ."""

WatchKey = tuple[str, str]
"""Payload and application name."""

_KEEPALIVE: Final = re.compile(r'\{"expires_in_seconds":(?:0|-?[1-9][0-9]{0,8})\}')


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The lease on a payload whose socket its holder watches."""

    state: PayloadState
    """As far as watching depends on it: without evidence."""
    since: datetime
    resumed: bool = False
    """The payload was watched before: a message may have come since while no process listened."""
    holder: str | None = None
    leased_until: datetime | None = None


def watched_until(state: PayloadState, policy: PayloadPolicy) -> datetime | None:
    """Until when the socket can tell news; None if that is not known."""
    if state.expires_at is None:
        return None
    return state.expires_at + (policy.grace if state.facts & Fact.OPENED else EXPIRY_SLACK)


def starts_watch(before: PayloadState | None, after: PayloadState) -> bool:
    """Whether a report starts a watch: the payload became known, or known to have been opened."""
    if after.facts & ANSWERED:
        return False
    return before is None or bool(after.facts & ~before.facts & Fact.OPENED)


def is_over(state: PayloadState, policy: PayloadPolicy, now: datetime) -> bool:
    """Whether a watch ends: the user answered, the payload is resolved or flagged, or the time is up.

    The proof of a reported end needs no socket: durable tasks look it up. A cancelled payload is watched on, since a
    user who has it on screen may still sign it.
    """
    if state.facts & ANSWERED or state.resolved is not None or state.flags:
        return True
    until = watched_until(state, policy)
    return until is not None and now >= until


def is_late(since: datetime, now: datetime) -> bool:
    """Whether the first socket of a payload that is known ``since`` then opened too late to have told everything."""
    return now - since >= LATE_AFTER


def is_news(state: PayloadState, report: StatusReport) -> bool:
    """Whether a message adds to ``state``. Most messages are keepalives, which do not."""
    if STATUS_FACTS[report.kind] & ~state.facts:
        return True
    return report.expires_at is not None and state.expires_at is None


def is_idle(state: PayloadState, text: str | bytes) -> bool:
    """Whether a message is a keepalive without news. Nearly all messages are: this saves parsing them."""
    return state.expires_at is not None and isinstance(text, str) and _KEEPALIVE.fullmatch(text) is not None


def retry_delay(failures: int, chance: float) -> timedelta:
    """The delay before the next connection after ``failures`` in a row. ``chance`` is random in [0, 1)."""
    return RECONNECT.delay(max(failures, 1), chance)


def failures_after(failures: int, lived: timedelta) -> int:
    """The number of failures in a row, after a connection that lived for ``lived`` has ended."""
    return 1 if lived >= STEADY_AFTER else failures + 1
