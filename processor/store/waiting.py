"""What waits for the writer, how much of it may, and how those who wait are told."""

from asyncio import Future
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from processor.core.errors import StoreError
from processor.store.entry import Quarantined, Recorded, Refused, Reported
from processor.store.store import Store

Outcome = Recorded | StoreError
Settle = Callable[[Outcome], None]
"""Hears once, on the event loop, what became of an entry."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How much may wait."""

    entries: int = 10_000
    """Entries that wait for their commit."""
    log_lines: int = 10_000
    """Lines of the delivery log that wait for theirs."""
    outbox: int = 1_000_000
    """Events in the outbox: with so many, no delivery is taken."""


class Waiting(NamedTuple):
    """An entry whose commit somebody waits for."""

    entry: Reported | Quarantined
    settle: Settle


@dataclass(frozen=True, slots=True)
class Job:
    """Anything else to be done with the store."""

    function: Callable[[Store], Any]
    settle: Callable[[Any], None]


class Batch(NamedTuple):
    """What one transaction does."""

    waiting: list[Waiting]
    lines: list[Refused]
    jobs: list[Job]


def settle(future: "Future[Any]", outcome: Any) -> None:
    """Resolve ``future`` unless it was cancelled."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
