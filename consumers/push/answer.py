"""What providers' answers have in common: how long to wait, and a body that may be anything."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

MAX_ANSWER: Final = 64 * 1024
"""Bytes of an answer that are read."""
LONGEST_WAIT: Final = timedelta(days=1)
RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may be other ones later."""

_SECONDS_DIGITS: Final = 9


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Seconds or an HTTP date, RFC 9110 section 10.2.3, a day at most; None without it or if it makes no sense."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(timedelta(seconds=int(value[:_SECONDS_DIGITS])), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    wait = moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)
    return min(max(wait, timedelta(0)), LONGEST_WAIT)


def json_object(body: bytes) -> Mapping[str, Any]:
    """The body as a JSON object; empty if it is none."""
    try:
        return mapping(json.loads(body))
    except (ValueError, RecursionError):
        return {}


def mapping(value: Any) -> Mapping[str, Any]:
    """``value`` if it is an object; else an empty one."""
    return value if isinstance(value, dict) else {}
