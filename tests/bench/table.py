"""What a measurement of one quality of the processor hands to its reader."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.bench.figures import markdown


class MeasurementError(Exception):
    """Something could not be measured; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sizes:
    """How much is measured."""

    watches: int = 5_000
    """Payloads whose sockets are opened."""
    idle_seconds: float = 45.0
    """How long they are left alone: three keepalives, and each lease is renewed once."""
    settle_seconds: float = 3.0
    """What is still to be done after all are open, or before anything begins, is waited for so long."""
    messages: int = 2_000
    """Messages whose way to the queue is timed."""
    rate: float = 100.0
    """Of them, per second."""
    lost: int = 1_000
    """Payloads whose webhooks are lost."""
    limit: int = 600
    """Calls to Xumm's API that its headers allow in a minute."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One measurement."""

    name: str
    """By which it is asked for."""
    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    conditions: str
    """What the reader must know about how it was measured."""
    surroundings: Mapping[str, str]
    figures: Mapping[str, Any]
    """All of it as JSON types; durations in seconds, memory in bytes."""
    sound: bool
    """Whether what was measured was done right. Never whether it was fast."""

    def text(self) -> str:
        """Markdown that also reads well in a terminal."""
        versions = ", ".join(f"{name} {value}" for name, value in self.surroundings.items())
        parts = [f"{self.title}. {versions}.", markdown(self.headings, self.rows), f"- {self.name}: {self.conditions}."]
        return "\n\n".join(parts if self.sound else [*parts, f"- {self.name}: NOT SOUND, see the table."])

    def document(self) -> dict[str, Any]:
        """The figures, with what they depend on."""
        return {"surroundings": dict(self.surroundings), "sound": self.sound, **self.figures}
