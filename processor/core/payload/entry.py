"""Entries, which the recorder stores, and its results.

Values that are made for every webhook are named tuples: that takes a third of the time of a frozen dataclass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from processor.core.application import PayloadPolicy
from processor.core.payload.lifecycle import TaskKind, Transition
from processor.core.publishing.message import OutboxMessage
from processor.core.reports.report import Report


class DeliveryRecord(NamedTuple):
    """One line of the delivery log: an attempt to deliver a webhook, accepted or refused.

    Nothing here is trusted: ``app`` of a refused delivery comes from the path, cut to 64 printable characters.
    """

    received_at: datetime
    app: str
    payload: str | None
    attempt: int | None
    verdict: str
    """``accepted`` (with news), ``duplicate``, ``quarantined``, or the reason of the refusal."""
    latency_us: int
    """Microseconds from the request to the moment this line was handed to the database."""


class Reported(NamedTuple):
    """A report to apply to its payload. ``delivery`` is set for a webhook; the recorder fills in its verdict."""

    report: Report
    policy: PayloadPolicy
    delivery: DeliveryRecord | None = None
    traceparent: str | None = None
    started: float = 0.0
    """When the webhook came, as `time.perf_counter` tells it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """An authentic body that cannot be parsed, kept raw for an operator."""

    delivery: DeliveryRecord
    body: bytes = field(repr=False)
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A refused delivery, for the log only."""

    delivery: DeliveryRecord


Entry = Reported | Quarantined | Refused


class Recorded(NamedTuple):
    """The result of an entry, after the commit."""

    transition: Transition | None
    """None where the entry held no report."""
    messages: tuple[OutboxMessage, ...] = ()


class Commit(NamedTuple):
    """What one transaction made durable, as those hear of it who act on commits."""

    recorded: Sequence[tuple[Entry, Recorded]] = ()
    """Each entry with what became of it, in the order in which they were recorded."""
    messages: Sequence[OutboxMessage] = ()
    """The new events, in the order of their positions."""
    task_kinds: frozenset[TaskKind] = frozenset()
    """The kinds of the tasks that became due, or due at another time."""
    certain: bool = True
    """False: the connection was lost, and the transaction may have been committed. Nothing else is known of it."""
