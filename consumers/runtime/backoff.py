"""Waiting longer after each failure, never in step with others."""

import random
from collections.abc import Callable
from datetime import timedelta

FIRST = timedelta(milliseconds=500)
CAP = timedelta(seconds=30)


class Backoff:
    """Delays that double from ``first`` to ``cap``, each drawn between its half and its whole."""

    def __init__(
        self,
        *,
        first: timedelta = FIRST,
        cap: timedelta = CAP,
        draw: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first = first
        self._cap = cap
        self._draw = draw
        self._failures = 0

    def next_delay(self) -> timedelta:
        """How long to wait after one more failure."""
        longest: timedelta = min(self._first * 2 ** min(self._failures, 32), self._cap)
        self._failures += 1
        return longest * self._draw(0.5, 1.0)

    def reset(self) -> None:
        """Start over after a success that lasted."""
        self._failures = 0
