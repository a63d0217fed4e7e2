"""The port of a queue that is consumed. Every adapter passes the suite in ``tests/contract/test_source.py``."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, Self

from processor.observability.redaction import clean_line
from schemas.topology import HEADER_ATTEMPTS, HEADER_FIRST_SEEN, HEADER_QUEUE, HEADER_REASON

Headers = Mapping[str, object]

MOST_ATTEMPTS: Final = 1_000_000
"""Higher counts are cut to this: a message of another sender may have any number in its header."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MessageDelivery:
    """One message, delivered to this consumer for the first time or again."""

    body: bytes
    event_id: str | None
    """The event's id in the properties of the message; None on a message of another sender."""
    type: str | None
    headers: Headers
    redelivered: bool
    """True if it may have been delivered before."""
    attempts: int
    """How often handling has failed before: 0 at first."""
    first_seen_at: datetime
    """When a consumer first received the message."""
    returns: int = 0
    """How often it was delivered without being settled, by the broker's count; 0 if that is unknown."""


class MessageSource(Protocol):
    """The deliveries of one queue, and their settlement.

    Guarantees: a delivery stays in the queue until it is settled, so a crash, a lost connection or `__aexit__` brings
    every unsettled one back, `redelivered`; `retry` and `dead_letter` take the message out of the queue only after
    its copy is durable where it belongs, so it can appear twice but never vanish; deliveries come in queue order. Each
    delivery is settled exactly once: a second settlement raises `ValueError`. Settling raises `SettleFailed` (nothing
    certain happened, settle it again) or `DeliveryLost` (the message comes again).

    A message that is `redelivered` may have killed the process that handled it. It is delivered alone: after all before
    it are settled, and none after it until it is settled. So a harmful message is not confused with its neighbours.
    """

    def deliveries(self) -> AsyncIterator[MessageDelivery]:
        """Yield deliveries, across reconnects, until `stop`. Never more are unsettled than the prefetch allows."""

    async def ack(self, delivery: MessageDelivery) -> None:
        """Acknowledge the message."""

    async def retry(self, delivery: MessageDelivery, delay: timedelta, reason: str) -> None:
        """Deliver the message again after ``delay`` or somewhat later, with one more attempt counted."""

    async def dead_letter(self, delivery: MessageDelivery, reason: str) -> None:
        """Dead-letter the message, with ``reason``, attempts and first-seen in its headers."""

    async def put_back(self, delivery: MessageDelivery) -> None:
        """Deliver the message again as if for the first time: no attempt is counted."""

    def is_overdue(self, delivery: MessageDelivery) -> bool:
        """Whether the delivery was held so long that it should be put back before the broker closes the channel."""

    def holds(self, delivery: MessageDelivery) -> bool:
        """Whether ``delivery`` is unsettled and still ours. If not, it need not be handled and cannot be settled."""

    async def stop(self) -> None:
        """End `deliveries`. Open deliveries can still be settled. Idempotent."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *_: object) -> None: ...


def parse_attempts(headers: Headers) -> int:
    """The attempts in `HEADER_ATTEMPTS`; 0 if the header is missing or invalid."""
    value = headers.get(HEADER_ATTEMPTS)
    return min(value, MOST_ATTEMPTS) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def parse_first_seen(headers: Headers, now: datetime) -> datetime:
    """The instant in `HEADER_FIRST_SEEN`; ``now`` if the header is missing or invalid."""
    value = headers.get(HEADER_FIRST_SEEN)
    if not isinstance(value, str):
        return now
    try:
        seen_at = datetime.fromisoformat(value)
        return seen_at.astimezone(UTC) if seen_at.tzinfo else seen_at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return now


def build_headers(delivery: MessageDelivery, *, queue: str, reason: str) -> Headers:
    """The headers of a message from ``queue`` after one more attempt to handle it failed with ``reason``."""
    return {
        **delivery.headers,
        HEADER_ATTEMPTS: delivery.attempts + 1,
        HEADER_REASON: clean_line(reason),
        HEADER_FIRST_SEEN: delivery.first_seen_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        HEADER_QUEUE: queue,
    }
