"""A user's session."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

PREFIX: Final = "xws_"
"""Of a session's token, so that one that leaked into a text is recognised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A user who proved to hold an account."""

    app: str
    account: str
    user: str | None
    """The opaque reference, where one is known."""
    expires_at: datetime
