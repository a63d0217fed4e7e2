"""Who calls our own API: the app's user, or another service."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from processor.core.access.service_key import ServiceKey


@dataclass(frozen=True, slots=True, kw_only=True)
class UserCaller:
    """A user of one application, who sees what is their own and nothing else."""

    app: str
    """The application's name."""
    account: str
    """The address that the user proved to hold."""
    proven_by: Literal["session", "xumm_jwt", "xapp_jwt"]
    user: str | None = None
    """The opaque reference that events carry, where it is known."""
    expires_at: datetime | None = None
    """Until when that counts, where it is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceCaller:
    """Another service, which may do what its key's scopes say, for the applications that the key covers."""

    key: ServiceKey


Caller = UserCaller | ServiceCaller
