"""What the runtime asks of a broker. Every adapter passes the suite in ``tests/contract/test_source.py``."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Final, Protocol, Self

from processor.observability.redaction import clean_line
from schemas.topology import HEADER_ATTEMPTS, HEADER_FIRST_SEEN, HEADER_QUEUE, HEADER_REASON

Headers = Mapping[str, object]

MOST_ATTEMPTS: Final = 1_000_000
"""More are not counted: a header of a stranger may say any number."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MessageDelivery:
    """One message, handed to this consumer once more or for the first time."""

    body: bytes
    event_id: str | None
    """The event's id as the envelope of the broker has it; None on a foreign message."""
    type: str | None
    headers: Headers
    redelivered: bool
    """True if it may have been delivered before."""
    attempts: int
    """How often handling was tried and put off before: 0 at first."""
    first_seen_at: datetime
    """When a consumer first met the message."""
    returns: int = 0
    """How often it came before without being settled, as far as that is known."""


class MessageSource(Protocol):
    """The deliveries of one queue, and their settlement.

    Guarantees: a delivery stays in the queue until it is settled, so a crash, a lost connection or `__aexit__` brings
    every unsettled one back, `redelivered`; `retry` and `dead_letter` take the message out of the queue only after
    its copy is durable where it belongs, so it can appear twice but never vanish; deliveries come in queue order. Each
    delivery is settled exactly once: a second settlement raises `ValueError`. Settling raises `SettleFailed` (nothing
    certain happened, settle it again) or `DeliveryLost` (the message comes again).

    One that is `redelivered` may have killed whoever handled it. It is handed out alone: once all before it are
    settled, and none after it before it is. So what kills is told from what was only near.
    """

    def deliveries(self) -> AsyncIterator[MessageDelivery]:
        """Deliveries as they come, across reconnects, until `stop`. Never more unsettled ones than the prefetch."""
        ...

    async def ack(self, delivery: MessageDelivery) -> None:
        """The message is done with."""
        ...

    async def retry(self, delivery: MessageDelivery, delay: timedelta, reason: str) -> None:
        """Deliver it again after ``delay`` or somewhat more, with one attempt more to its name."""
        ...

    async def dead_letter(self, delivery: MessageDelivery, reason: str) -> None:
        """Put it aside for good, with ``reason``, attempts and first-seen in its headers."""
        ...

    async def put_back(self, delivery: MessageDelivery) -> None:
        """Deliver it again as if for the first time: nothing was tried."""
        ...

    def is_overdue(self, delivery: MessageDelivery) -> bool:
        """Whether it was held for so long that it should be put back, before the broker loses patience."""
        ...

    def holds(self, delivery: MessageDelivery) -> bool:
        """Whether ``delivery`` is unsettled and still ours; if not, settling it is in vain and handling it a waste."""
        ...

    async def stop(self) -> None:
        """Take no more deliveries: `deliveries` ends. What was delivered can still be settled. Idempotent."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def attempts_in(headers: Headers) -> int:
    """How often handling was tried, from `HEADER_ATTEMPTS`; 0 without it or if it makes no sense."""
    value = headers.get(HEADER_ATTEMPTS)
    return min(value, MOST_ATTEMPTS) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def first_seen_in(headers: Headers, now: datetime) -> datetime:
    """The instant in `HEADER_FIRST_SEEN`; ``now`` without it or if it makes no sense."""
    value = headers.get(HEADER_FIRST_SEEN)
    if not isinstance(value, str):
        return now
    try:
        seen_at = datetime.fromisoformat(value)
        return seen_at.astimezone(UTC) if seen_at.tzinfo else seen_at.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return now


def settlement_headers(delivery: MessageDelivery, *, queue: str, reason: str) -> Headers:
    """The headers that a message carries after one more try to handle it from ``queue`` ended with ``reason``."""
    return {
        **delivery.headers,
        HEADER_ATTEMPTS: delivery.attempts + 1,
        HEADER_REASON: clean_line(reason),
        HEADER_FIRST_SEEN: delivery.first_seen_at.astimezone(UTC).isoformat(timespec="milliseconds"),
        HEADER_QUEUE: queue,
    }
