"""What goes into the store, and what comes back: plain values.

What is made for every webhook is a named tuple: that takes a third of the time of a frozen dataclass.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from processor.core.application import PayloadPolicy
from processor.core.payload.lifecycle import Transition
from processor.core.publishing.message import OutboxMessage
from processor.core.reports.report import Report


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
    policy: PayloadPolicy
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


class Recorded(NamedTuple):
    """What became of an entry, after the commit."""

    transition: Transition | None
    """None where the entry held no report."""
    messages: tuple[OutboxMessage, ...] = ()
