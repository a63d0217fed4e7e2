"""What providers' answers have in common: how long to wait, and a body that may be anything."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

MAX_ANSWER: Final = 64 * 1024
"""Bytes of an answer that are read, or some more: where they come in pieces, the last one is not cut."""
LONGEST_WAIT: Final = timedelta(days=1)
RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may be other ones later."""

_SECONDS_DIGITS: Final = 9


async def read_up(pieces: AsyncIterator[bytes]) -> bytes:
    """The body that comes in ``pieces``, as far as an answer can need it."""
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) >= MAX_ANSWER:
            break
    return bytes(body)


def retry_after(headers: Mapping[str, str]) -> timedelta | None:
    """Seconds or an HTTP date, RFC 9110 section 10.2.3, a day at most; None without it or if it makes no sense."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return min(timedelta(seconds=int(value[:_SECONDS_DIGITS])), LONGEST_WAIT)
    try:
        moment = parsedate_to_datetime(value)
        wait = moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(wait, timedelta(0)), LONGEST_WAIT)


def json_object(body: bytes) -> Mapping[str, Any]:
    """The body as a JSON object; empty if it is none."""
    try:
        return mapping(json.loads(body))
    except (ValueError, RecursionError):
        return {}


def objects(value: Any) -> list[Mapping[str, Any]]:
    """``value`` if it is a list, each entry as by `mapping`; else nothing."""
    return [mapping(each) for each in value] if isinstance(value, list) else []


def mapping(value: Any) -> Mapping[str, Any]:
    """``value`` if it is an object; else an empty one."""
    return value if isinstance(value, dict) else {}
