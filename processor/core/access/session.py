"""Who signed in."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A user who proved to hold an account."""

    app: str
    account: str
    user: str | None
    """The opaque reference, where one is known."""
    expires_at: datetime
