"""A watch: the lease on a payload whose socket is to be followed."""

from dataclasses import dataclass
from datetime import datetime

from processor.core.payload.state import PayloadState

WatchKey = tuple[str, str]
"""Payload and application name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A payload whose socket the holder of the lease watches."""

    state: PayloadState
    """As far as watching depends on it: without evidence."""
    since: datetime
    resumed: bool = False
    """The payload was watched before: a message may have come since while no process listened."""
    holder: str | None = None
    leased_until: datetime | None = None
