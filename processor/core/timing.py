"""Time and chance, as arguments."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Time and chance, which tests have in hand."""

    clock: Callable[[], datetime]
    time: Callable[[], float]
    """Monotonic, in seconds."""
    chance: Callable[[], float]
    """Random in [0, 1)."""
