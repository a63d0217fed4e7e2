"""A look at what lies in a queue."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress
from datetime import timedelta
from types import TracebackType
from typing import Final, Self, TypeVar

import aiormq
import aiormq.abc
from aio_pika import IncomingMessage
from aio_pika.abc import AbstractConnection, AbstractIncomingMessage

from consumers.runtime.errors import SourceUnavailable
from consumers.runtime.source.session import address_of, close, connect, raise_if_wanted
from processor.observability.redaction import describe

T = TypeVar("T")

RETURN_TIMEOUT: Final = timedelta(seconds=3)
RETURN_POLL: Final = timedelta(milliseconds=20)


class Reading:
    """Gets the messages of ``queue`` and holds them, until they are removed or put back.

    An async context manager. Everything raises `SourceUnavailable`, if the broker refuses or says nothing within
    ``patience``. Leaving closes the connection: what is still held then is back in the queue, too.
    """

    def __init__(self, url: str, queue: str, *, patience: timedelta) -> None:
        self._url = url
        self._queue = queue
        self._patience = patience
        self._there = 0
        self._held: dict[int, AbstractIncomingMessage] = {}
        self._connection: AbstractConnection | None = None
        self._channel: aiormq.abc.AbstractChannel | None = None

    @property
    def held(self) -> list[AbstractIncomingMessage]:
        """What was got, in order, and neither removed nor put back."""
        return list(self._held.values())

    async def messages(self, limit: int | None = None) -> AsyncIterator[AbstractIncomingMessage]:
        """At most ``limit`` of the messages that were there on entering."""
        for _ in range(self._there if limit is None else min(limit, self._there)):
            found = await self._answered(self._opened.basic_get(self._queue))
            if isinstance(found.delivery, aiormq.spec.Basic.GetEmpty):
                return
            message = IncomingMessage(found)
            self._held[message.delivery_tag or 0] = message
            yield message

    async def remove(self, message: AbstractIncomingMessage) -> None:
        """Have the broker forget ``message``."""
        await self._answered(message.ack())
        del self._held[message.delivery_tag or 0]
        self._there -= 1

    async def put_back(self, added: int = 0) -> None:
        """Return what is held. Wait a little for the broker to show it, with the ``added`` copies, to the next look."""
        if self._held:
            await self._answered(self._opened.basic_nack(max(self._held), multiple=True, requeue=True))
            self._held.clear()
        ready = await self._count()  # the broker's answer: it has read what was sent before
        with suppress(TimeoutError):
            async with asyncio.timeout(RETURN_TIMEOUT.total_seconds()):
                while ready < self._there + added:
                    await asyncio.sleep(RETURN_POLL.total_seconds())
                    ready = await self._count()

    async def __aenter__(self) -> Self:
        try:
            self._connection = await self._answered(connect(self._url, name=f"consumers look at {self._queue}"))
            channel = await self._answered(self._connection.channel(publisher_confirms=False))
            self._channel = await self._answered(channel.get_underlay_channel())
            self._there = await self._count()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    @property
    def _opened(self) -> aiormq.abc.AbstractChannel:
        assert self._channel is not None  # noqa: S101  used as a context manager
        return self._channel

    async def _count(self) -> int:
        """Messages ready."""
        answer = await self._answered(self._opened.queue_declare(self._queue, passive=True))
        return answer.message_count or 0

    async def _close(self) -> None:
        if self._connection is not None:
            await close(self._connection)

    async def _answered(self, step: Awaitable[T]) -> T:
        place = f"{self._queue} on {address_of(self._url)}"
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                return await step
        except asyncio.CancelledError as error:
            raise_if_wanted(error)
            raise SourceUnavailable(f"{place}: the broker gave no answer") from error
        except TimeoutError as error:
            raise SourceUnavailable(f"{place}: the broker gave no answer") from error
        except Exception as error:
            raise SourceUnavailable(f"{place}: {describe(error)}") from error
