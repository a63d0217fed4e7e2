"""Callers of our own API: a user of an application, or another service."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from processor.core.access.service_key import ServiceKey

PREFIX: Final = "xws_"
"""Begins each session token, so that one that leaked into a text is recognised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A user who proved to hold an account, and signed in to this service."""

    app: str
    """The application's name."""
    account: str
    user: str | None
    """The opaque reference that events carry, where it is known."""
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCaller:
    """A user of one application, who sees their own data and nothing else."""

    app: str
    """The application's name."""
    account: str
    """The address that the user proved to hold."""
    proven_by: Literal["session", "xumm_jwt", "xapp_jwt"]
    user: str | None = None
    """The opaque reference that events carry, where it is known."""
    expires_at: datetime | None = None
    """Until when the proof counts, where it is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCaller:
    """Another service, with the scopes of its key, for the applications that the key covers."""

    key: ServiceKey


Caller = UserCaller | ServiceCaller
