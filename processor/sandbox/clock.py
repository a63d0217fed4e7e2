"""Time and ids as the sandbox takes them: injected, so that a test owns them."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from uuid import uuid4

Clock = Callable[[], datetime]
"""The moment now, aware, UTC."""

NewId = Callable[[], str]
"""A fresh UUID as text."""

Sleep = Callable[[float], Awaitable[None]]
"""Waits so many seconds."""


def utc_now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


def random_uuid() -> str:
    """A random UUID."""
    return str(uuid4())
