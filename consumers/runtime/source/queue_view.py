"""The messages of a queue, got without consuming them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from datetime import timedelta
from typing import Final, Self, TypeVar

import aiormq
import aiormq.abc
from aio_pika import IncomingMessage
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from consumers.runtime.errors import SourceUnavailable
from processor.broker.address import host_and_port
from processor.broker.transport import close, connect, raise_if_cancelled
from processor.observability.redaction import describe

T = TypeVar("T")

RETURN_TIMEOUT: Final = timedelta(seconds=3)
RETURN_POLL: Final = timedelta(milliseconds=20)


class QueueView:
    """Gets the messages of ``queue`` and holds each until it is removed or put back.

    An async context manager. Every method raises `SourceUnavailable` if the broker refuses a call or does not answer
    within ``patience``. Leaving closes the connection, which returns the messages that are still held to the queue.
    """

    def __init__(self, url: str, queue: str, *, patience: timedelta) -> None:
        self._url = url
        self._queue = queue
        self._patience = patience
        self._total = 0
        self._held: dict[int, AbstractIncomingMessage] = {}
        self._connection: AbstractConnection | None = None

    @property
    def held(self) -> list[AbstractIncomingMessage]:
        """The messages that were got and neither removed nor put back, in order."""
        return list(self._held.values())

    async def messages(self, limit: int | None = None) -> AsyncIterator[AbstractIncomingMessage]:
        """At most ``limit`` of the messages that were there on entering."""
        for _ in range(self._total if limit is None else min(limit, self._total)):
            found = await self._call(self._channel.basic_get(self._queue))
            if isinstance(found.delivery, aiormq.spec.Basic.GetEmpty):
                return
            message = IncomingMessage(found)
            self._held[message.delivery_tag or 0] = message
            yield message

    async def remove(self, message: AbstractIncomingMessage) -> None:
        """Have the broker forget ``message``."""
        await self._call(message.ack())
        del self._held[message.delivery_tag or 0]
        self._total -= 1

    async def put_back(self, added: int = 0) -> None:
        """Return the held messages. Wait up to 3 s until the broker counts them, and the ``added`` copies, as ready."""
        if self._held:
            await self._call(self._channel.basic_nack(max(self._held), multiple=True, requeue=True))
            self._held.clear()
        ready = await self._count()  # this answer shows that the broker has read the frames sent before
        with suppress(TimeoutError):
            async with asyncio.timeout(RETURN_TIMEOUT.total_seconds()):
                while ready < self._total + added:
                    await asyncio.sleep(RETURN_POLL.total_seconds())
                    ready = await self._count()

    async def __aenter__(self) -> Self:
        try:
            self._connection = await self._call(connect(self._url, name=f"consumers look at {self._queue}"))
            channel = await self._call(self._connection.channel(publisher_confirms=False))
            self._channel = await self._call(channel.get_underlay_channel())
            self._total = await self._count()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close()

    async def _count(self) -> int:
        """Messages that are ready in the queue."""
        answer = await self._call(self._channel.queue_declare(self._queue, passive=True))
        return answer.message_count or 0

    async def _close(self) -> None:
        if self._connection is not None:
            await close(self._connection)

    async def _call(self, step: Awaitable[T]) -> T:
        place = f"{self._queue} on {host_and_port(self._url)}"
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                return await step
        except asyncio.CancelledError as error:
            raise_if_cancelled(error)
            raise SourceUnavailable(f"{place}: the broker gave no answer") from error
        except TimeoutError as error:
            raise SourceUnavailable(f"{place}: the broker gave no answer") from error
        except Exception as error:
            raise SourceUnavailable(f"{place}: {describe(error)}") from error
