"""Messages: events ready to be published."""

from typing import Final, NamedTuple

TRACE_BYTES: Final = 24
"""Random bytes for one trace."""
_DIGITS: Final = 2 * TRACE_BYTES


class Message(NamedTuple):
    """One event, encoded for the broker."""

    id: str
    """Event id, the consumers' dedupe key; AMQP ``message_id``."""
    type: str
    """Event type such as ``xumm.sign.signed``; AMQP ``type``."""
    app: str
    """Application name; AMQP ``app_id``."""
    payload: str
    """Payload uuid; AMQP ``correlation_id``. Messages of one payload are ordered."""
    routing_key: str
    body: bytes
    """The CloudEvent as structured JSON."""
    at: int
    """When the fact was learned, Unix seconds; AMQP ``timestamp``."""
    traceparent: str | None = None
    """W3C trace context; an AMQP header."""


class OutboxMessage(NamedTuple):
    """A committed event on its way to the broker. Positions grow; those of one payload in the order of its sequence."""

    position: int
    message: Message


def traceparents(random: bytes) -> list[str]:
    """W3C trace contexts of sampled traces that start here, one for each `TRACE_BYTES` of ``random``.

    They join the log lines of a consumer to the webhook that caused them. Source: https://www.w3.org/TR/trace-context/
    """
    digits = random.hex()
    starts = range(0, len(digits), _DIGITS)
    return [f"00-{digits[start : start + 32]}-{digits[start + 32 : start + _DIGITS]}-01" for start in starts]
