"""What the relay asks of a broker. Every adapter passes the suite in ``tests/contract/test_publisher.py``."""

from asyncio import Future
from types import TracebackType
from typing import NamedTuple, Protocol, Self


class PublishError(Exception):
    """The broker did not, or not certainly, take a message over. Publishing it again is safe: its id stays the same."""


class Unroutable(PublishError):
    """The exchange knew no queue for the message, and no alternate exchange took it."""


class Refused(PublishError):
    """The broker said no (``basic.nack``): a full queue, or a replica that could not store it."""


class Disconnected(PublishError):
    """There is no connection, or it broke before the broker answered: the message may or may not have arrived."""


class Message(NamedTuple):
    """One event, ready for the wire."""

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


class Publisher(Protocol):
    """Hands messages to a broker.

    Guarantees: a future that resolves means that the broker holds the message durably in every queue it was routed to;
    messages are handed over in the order of the calls; nothing is kept across a broken connection: what was in flight
    fails with `Disconnected`, and the caller publishes it again.
    """

    def publish(self, message: Message) -> "Future[None]":
        """Hand ``message`` over. Never blocks and never raises: the future carries the `PublishError`.

        Many may be in flight; the caller bounds how many.
        """
        ...

    async def ready(self) -> None:
        """Return once messages can be handed over. Waits as long as it takes; the adapter reconnects by itself."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
