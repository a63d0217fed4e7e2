"""Which payloads are worth a socket, and until when; what on it is news; how a socket that broke is tried again."""

import re
from datetime import datetime, timedelta
from typing import Final

from pydantic_core import from_json

from processor.core.application import Policy
from processor.core.payload.learning import STATUS_FACTS
from processor.core.payload.state import ANSWERED, Fact, PayloadState
from processor.core.reports.report import StatusReport
from processor.core.reports.salvage import salvaged
from processor.core.retry import Backoff
from schemas.status import Status
from schemas.text import replace_unprintable

KEEPALIVE: Final = timedelta(seconds=15)
"""How often Xumm sends something on an open socket."""
SILENCE: Final = 3 * KEEPALIVE
"""After which a socket counts as dead: sockets die silently."""
STEADY_AFTER: Final = timedelta(seconds=30)
"""A connection that lived this long ends a run of failures; one that merely opened does not."""
ABSENT_LIMIT: Final = 5
"""How often in a row a socket may say that there is no such payload, which is usual just after it was created."""
RECONNECT: Final = Backoff(first=timedelta(seconds=1), cap=timedelta(minutes=5))
LATE_AFTER: Final = timedelta(seconds=10)
"""How long after a payload became known its first socket counts as late, and the payload is worth a look: users open a
push within seconds, and a socket replays nothing. In good order one opens within a second, which costs no look."""
EXPIRY_SLACK: Final = timedelta(seconds=60)
"""How long after its expiry a payload that nobody opened is still watched, so that clocks may differ."""

_KNOWN_KEYS: Final = frozenset(Status.model_fields) | {
    "ping",
    "reference_call_uuidv4",
    "user_token",
    "return_url",
    "opened_by_deeplink",
}
_KNOWN_MESSAGES: Final = ("Welcome", "Right back at you!")
_SHOWN_KEY: Final = 40
_KEEPALIVE: Final = re.compile(r'\{"expires_in_seconds":(?:0|-?[1-9][0-9]{0,8})\}')


def watched_until(state: PayloadState, policy: Policy) -> datetime | None:
    """When the socket cannot tell anything more. None: as far as is known, never."""
    if state.expires_at is None:
        return None
    return state.expires_at + (policy.grace if state.facts & Fact.OPENED else EXPIRY_SLACK)


def begins(before: PayloadState | None, after: PayloadState) -> bool:
    """Whether a report makes a payload worth watching, again perhaps: it became known, or known to have been opened."""
    if after.facts & ANSWERED:
        return False
    return before is None or bool(after.facts & ~before.facts & Fact.OPENED)


def is_over(state: PayloadState, policy: Policy, now: datetime) -> bool:
    """Whether nothing is left to watch: the user answered, it is resolved, a human must look, or the time is up.

    Proving an outcome that was reported is the tasks' affair, which are durable: no socket is needed for it. One that
    was cancelled may still be signed by whoever has it on screen.
    """
    if state.facts & ANSWERED or state.resolved is not None or state.flags:
        return True
    until = watched_until(state, policy)
    return until is not None and now >= until


def is_late(since: datetime, now: datetime) -> bool:
    """Whether the first socket of a payload that is known ``since`` then opened too late to have heard everything."""
    return now - since >= LATE_AFTER


def is_news(state: PayloadState, report: StatusReport) -> bool:
    """Whether a message says anything that ``state`` does not hold. Most are keepalives that do not."""
    if STATUS_FACTS[report.kind] & ~state.facts:
        return True
    return report.expires_at is not None and state.expires_at is None


def is_idle(state: PayloadState, text: str | bytes) -> bool:
    """Whether a message is a keepalive that says no news, told without reading it: nearly all of them are."""
    return state.expires_at is not None and isinstance(text, str) and _KEEPALIVE.fullmatch(text) is not None


def is_present(text: str | bytes) -> bool:
    """Whether a message shows that the payload exists: the greeting, or any status of it."""
    message = _object(text)
    said = message.get("message")
    return said.startswith(_KNOWN_MESSAGES) if isinstance(said, str) else bool(message)


def strange_keys(text: str | bytes) -> list[str]:
    """What in a message this version knows nothing of, each cut to what may stand in a log line."""
    return sorted(replace_unprintable(key[:_SHOWN_KEY]) for key in _object(text) if key not in _KNOWN_KEYS)


def retry_delay(failures: int, chance: float) -> timedelta:
    """The wait before the next connection, after so many failures in a row. ``chance`` is random in [0, 1)."""
    return RECONNECT.delay(max(failures, 1), chance)


def failures_after(failures: int, lived: timedelta) -> int:
    """How many failures in a row there are, once a connection that lived so long has ended."""
    return 1 if lived >= STEADY_AFTER else failures + 1


def _object(text: str | bytes) -> dict[str, object]:
    try:
        value = from_json(text)
    except ValueError:
        value = salvaged(text)
    return value if isinstance(value, dict) else {}
