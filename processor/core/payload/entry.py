"""Entries, which the recorder stores, and its results.

Values that are made for every webhook are named tuples: that takes a third of the time of a frozen dataclass.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from processor.core.application import Policy
from processor.core.payload.lifecycle import Transition
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
    policy: Policy
    delivery: DeliveryRecord | None = None
    traceparent: str | None = None


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
