"""Messages: events ready to be published."""

from typing import NamedTuple


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
