"""What the relay asks of a broker. Every publisher passes the suite in ``tests/contract/test_publisher.py``."""

from asyncio import Future
from types import TracebackType
from typing import Final, Protocol, Self

from processor.core.publishing.debts import QueueBindings
from processor.core.publishing.message import Message

IN_ORDER: Final = 200
"""Messages to one target that are handed over in order without waiting for answers."""


class PublishError(Exception):
    """The broker did not take the message, or not certainly. Publishing it again is safe: its id stays the same."""


class Unroutable(PublishError):
    """No queue is bound to the message's routing key, and no alternate exchange took the message."""


class Nacked(PublishError):
    """The broker answered ``basic.nack``: one queue is full or could not store the message. The others got it."""


class Unanswered(PublishError):
    """A queue gives no answer while the broker is alive: a quorum queue without a leader.

    Which queues got the message is not known. ``late`` resolves if the broker confirms later, and is cancelled when
    that has become impossible.
    """

    def __init__(self, reason: str, late: "Future[None]") -> None:
        super().__init__(reason)
        self.late = late


class Unsendable(PublishError):
    """The protocol cannot represent the message; a retry does not help."""


class Unpermitted(PublishError):
    """The user may not publish to a queue past the exchange. Nothing was handed over."""


class Disconnected(PublishError):
    """There is no connection, or it was lost before the broker answered; the message may have arrived."""


class Publisher(Protocol):
    """Hands messages to a broker.

    Guarantees: a future that resolves means that the broker holds the message durably in every queue it was routed to;
    every future is done in bounded time while the broker takes messages; nothing is kept across a broken connection:
    what was in flight fails with `Disconnected`, and the caller publishes it again. Messages are handed over in the
    order of the calls while no more than `IN_ORDER` are in flight; who needs order beyond waits for the answer.
    """

    def publish(self, message: Message, queue: str | None = None) -> "Future[None]":
        """Hand ``message`` over, to the queues bound for it, or to ``queue`` alone.

        Never blocks and never raises: the future carries the `PublishError`. A queue that gives no answer delays by
        some seconds what is in flight to others, and what is handed to single other queues not at all. Many may be in
        flight; the caller bounds how many.
        """

    async def ready(self) -> None:
        """Return once messages can be handed over. Waits as long as it takes; the adapter reconnects by itself."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Queues(Protocol):
    """The queues that the exchange routes to."""

    @property
    def expected(self) -> QueueBindings:
        """The queues by the settings."""

    async def ask(self) -> QueueBindings:
        """The queues by the broker. Raises `BindingsUnknown`."""
