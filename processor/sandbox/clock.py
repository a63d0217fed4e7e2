"""The clock, the sleep and the ids of the sandbox: arguments, so that a test can set them."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

Clock = Callable[[], datetime]
"""Returns the present moment, aware, in UTC."""

NewId = Callable[[], str]
"""Returns a new UUID as text."""

Sleep = Callable[[float], Awaitable[None]]
"""Waits for a number of seconds."""


def utc_now() -> datetime:
    """The present moment by the wall clock."""
    return datetime.now(UTC)


def random_uuid() -> str:
    """A random UUID."""
    return str(uuid4())
