"""The queues of one consumer on a real RabbitMQ, and what a test does to them."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from schemas.topology import (
    CONTENT_TYPE,
    DEAD_LETTERS,
    EXCHANGE,
    RETRIES,
    RETRY_DELAYS_SECONDS,
    dead_letter_queue,
    retry_queue,
)
from tests.consumers.events import Message

RETRY_TTL_MILLISECONDS = 100
"""What a retry queue really waits here, whatever its name says."""


class Broker:
    """A connection of the test's own, with the consumer's queues declared on entering."""

    def __init__(self, url: str, queue: str = "orders") -> None:
        self.url = url
        self.queue = queue
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None

    async def __aenter__(self) -> Self:
        await self.connect()
        await self.declare()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()

    @property
    def channel(self) -> AbstractChannel:
        assert self._channel is not None
        return self._channel

    async def connect(self) -> None:
        """Connect, anew if need be. A connection that is only dropped would close itself whenever it is collected."""
        with suppress(Exception):
            await self.close()
        self._connection = await aio_pika.connect(self.url)
        self._channel = await self._connection.channel(on_return_raises=True)

    async def declare(self) -> None:
        """Exchanges, the queue, its retry queues and its dead-letter queue."""
        events = await self.channel.declare_exchange(EXCHANGE, "topic", durable=True)
        retries = await self.channel.declare_exchange(RETRIES, "direct", durable=True)
        dead = await self.channel.declare_exchange(DEAD_LETTERS, "direct", durable=True)
        queue = await self.declare_queue()
        await queue.bind(events, "#")
        dead_letters = await self._quorum(dead_letter_queue(self.queue))
        await dead_letters.bind(dead, self.queue)
        for seconds in RETRY_DELAYS_SECONDS:
            name = retry_queue(self.queue, seconds)
            waiting = await self._quorum(
                name,
                {
                    "x-message-ttl": RETRY_TTL_MILLISECONDS,
                    "x-dead-letter-exchange": "",
                    "x-dead-letter-routing-key": self.queue,
                },
            )
            await waiting.bind(retries, name)

    async def declare_queue(self) -> Any:
        """The consumer's queue alone."""
        return await self._quorum(self.queue)

    async def _quorum(self, name: str, arguments: dict[str, Any] | None = None) -> Any:
        return await self.channel.declare_queue(
            name, durable=True, arguments={"x-queue-type": "quorum", **(arguments or {})}
        )

    async def publish(self, message: Message, headers: dict[str, Any] | None = None) -> None:
        """Publish to the exchange, confirmed."""
        exchange = await self.channel.get_exchange(EXCHANGE, ensure=False)
        await exchange.publish(_wire(message, headers), message.routing_key, mandatory=True)

    async def publish_to(self, queue: str, message: Message, headers: dict[str, Any] | None = None) -> None:
        """Publish to one queue, confirmed."""
        await self.channel.default_exchange.publish(_wire(message, headers), queue, mandatory=True)

    async def count(self, name: str | None = None) -> int:
        """Messages ready in a queue."""
        answer = await (await self.channel.get_underlay_channel()).queue_declare(name or self.queue, passive=True)
        return answer.message_count or 0

    async def consumer_count(self) -> int:
        """Consumers of the queue."""
        answer = await (await self.channel.get_underlay_channel()).queue_declare(self.queue, passive=True)
        return answer.consumer_count or 0

    async def take(self, name: str | None = None) -> AbstractIncomingMessage | None:
        """The first message of a queue, acknowledged."""
        queue = await self.channel.get_queue(name or self.queue, ensure=False)
        message = await queue.get(fail=False)
        if message is not None:
            await message.ack()
        return message


def _wire(message: Message, headers: dict[str, Any] | None) -> aio_pika.Message:
    return aio_pika.Message(
        message.body,
        message_id=message.id,
        type=message.type,
        correlation_id=message.payload,
        content_type=CONTENT_TYPE,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        headers=headers or {},
    )


async def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """Wait for ``condition``, a plain or coroutine function, to return something true; return it."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.02)
