"""The clocks and the source of randomness that a component is given."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Clocks and randomness as values, so that tests control them."""

    clock: Callable[[], datetime]
    time: Callable[[], float]
    """Monotonic, in seconds."""
    chance: Callable[[], float]
    """Random in [0, 1)."""
