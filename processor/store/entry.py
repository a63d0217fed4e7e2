"""What goes into the store, and what comes back: plain values.

What is made for every webhook is a named tuple: that takes a third of the time of a frozen dataclass.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from processor.core.application import Policy
from processor.core.lifecycle import Transition
from processor.core.report import Report
from processor.core.state import PayloadState
from processor.publisher.port import Message


class DeliveryRecord(NamedTuple):
    """One line of the delivery log: an attempt to deliver a webhook, believed or not.

    Nothing here is trusted: of a refused delivery, ``app`` is what the path said, cut to 64 printable characters.
    """

    received_at: datetime
    app: str
    payload: str | None
    attempt: int | None
    verdict: str
    """``accepted`` (said something new), ``duplicate``, ``quarantined``, or why it was refused."""
    latency_us: int
    """Microseconds from the request to the moment this line was handed to the database."""


class Reported(NamedTuple):
    """A report to apply to its payload. ``delivery`` is set if it came as a webhook; its verdict is filled in here."""

    report: Report
    policy: Policy
    delivery: DeliveryRecord | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantined:
    """An authentic body that makes no sense, kept raw until somebody looks."""

    delivery: DeliveryRecord
    body: bytes = field(repr=False)
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A delivery that was not believed: for the log only."""

    delivery: DeliveryRecord


Entry = Reported | Quarantined | Refused


class OutboxMessage(NamedTuple):
    """A committed event on its way to the broker. Positions grow; those of one payload in the order of its sequence."""

    position: int
    message: Message


class Recorded(NamedTuple):
    """What became of an entry, after the commit."""

    transition: Transition | None
    """None where the entry held no report."""
    messages: tuple[OutboxMessage, ...] = ()


TaskKind = Literal["fetch", "check", "deadline", "poll"]
Lane = tuple[str, TaskKind]
"""The tasks of one kind of one application."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DueTask:
    """A task claimed for a while: whoever claims it finishes, reschedules, or lets the lease run out."""

    id: int
    kind: TaskKind
    state: PayloadState
    attempts: int
    """How often it was claimed, this time included."""
    created_at: datetime


class Claim(NamedTuple):
    """Tasks that were claimed."""

    tasks: Sequence[DueTask]
    next_due_at: datetime | None
    """When the first of the others is due; None if there is none in a lane that has room left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """A payload whose socket is to be watched, by whoever holds the lease on it."""

    state: PayloadState
    """As far as watching depends on it: without evidence."""
    since: datetime
    resumed: bool = False
    """It was watched before: what was said since then was heard by nobody."""
    holder: str | None = None
    leased_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedBody:
    """What is to be known of a body in quarantine before looking at it."""

    id: int
    received_at: datetime
    app: str
    payload: str | None
    reason: str
    size: int
    """Bytes."""
