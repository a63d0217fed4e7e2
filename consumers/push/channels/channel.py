"""The port of a channel, and what the answers of all providers have in common."""

import json
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from consumers.push.notification import Notification
from consumers.push.registry.devices import Device
from processor.core.retry import parse_retry_after

MAX_ANSWER: Final = 64 * 1024
"""Bytes after which the rest of an answer is not read. The last piece is kept whole."""
RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that a later request may not get."""


class Unregistered(Exception):
    """The provider no longer knows the device: the app was removed, or its token was replaced.

    ``since`` is the time of that, if the provider told it: a device that registered later stays. Not ``certain`` if the
    settings may be to blame.
    """

    def __init__(self, reason: str, *, since: datetime | None = None, certain: bool = True) -> None:
        super().__init__(reason)
        self.since = since
        self.certain = certain


class PushChannel(Protocol):
    """Pushes to one device.

    Guarantees: returns once the provider accepted the notification. Raises `Unregistered`, `Retry` (with the wait that
    the provider asked for, if it did) or `Fatal`. Repetitions carry the same id, so the device shows one.
    """

    async def push(self, device: Device, notification: Notification) -> None:
        """Pass ``notification`` for ``device`` to the provider."""


async def read_start(pieces: AsyncIterator[bytes]) -> bytes:
    """Read the body from ``pieces``, up to `MAX_ANSWER`."""
    body = bytearray()
    async for piece in pieces:
        body += piece
        if len(body) >= MAX_ANSWER:
            break
    return bytes(body)


def parse_wait(headers: Mapping[str, str]) -> timedelta | None:
    """The wait that ``Retry-After`` asks for, a day at most; None without the header or if it cannot be parsed."""
    return parse_retry_after(headers.get("Retry-After", ""), datetime.now(UTC))


def parse_object(body: bytes) -> Mapping[str, Any]:
    """The body as a JSON object; an empty one if it is none."""
    try:
        return as_object(json.loads(body))
    except (ValueError, RecursionError):
        return {}


def list_objects(value: Any) -> list[Mapping[str, Any]]:
    """The entries of the list ``value``, each as by `as_object`; empty if it is no list."""
    return [as_object(each) for each in value] if isinstance(value, list) else []


def as_object(value: Any) -> Mapping[str, Any]:
    """``value`` if it is an object; else an empty one."""
    return value if isinstance(value, dict) else {}
