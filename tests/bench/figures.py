"""From samples to the numbers in the table: percentiles, ratios of pairs, Markdown."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from statistics import median
from typing import Self


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of an ascending sequence; 0.0 of an empty one."""
    if not ordered:
        return 0.0
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A median with the extremes it came from."""

    middle: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        """Raises ``statistics.StatisticsError`` if there are no values."""
        return cls(middle=median(values), low=min(values), high=max(values))

    def text(self, digits: int = 2) -> str:
        return f"{self.middle:,.{digits}f} ({self.low:,.{digits}f} to {self.high:,.{digits}f})"


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread | None:
    """The spread of ``ours / theirs``, pair by pair: what drifts between rounds cancels within each pair.

    None if a pair divides by zero. Raises ``ValueError`` if the sequences differ in length.
    """
    pairs = list(zip(ours, theirs, strict=True))
    if any(their == 0 for _, their in pairs):
        return None
    return Spread.of([our / their for our, their in pairs])


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, padded so that it reads as plain text too; all but the first column to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(headings, *rows, strict=True)]
    ruler = [("-" * width) if at == 0 else ("-" * (width - 1) + ":") for at, width in enumerate(widths)]
    return "\n".join(_line(cells, widths) for cells in (headings, ruler, *rows))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return f"| {' | '.join(padded)} |"
