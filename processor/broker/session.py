"""One connection with one channel and its consumers of one queue, opened and lost together.

The broker counts each message that a dead process had in hand, whether it was being handled or not, and dead-letters
one after so many deaths. So a session has one message in hand until its user calls `QueueSession.widen`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta
from typing import Any, Self

import aiormq.abc
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity

from processor.broker.address import host_and_port
from processor.broker.transport import CALL_TIMEOUT, close, connect, raise_if_cancelled
from processor.observability.redaction import describe


class SessionUnavailable(Exception):
    """The broker cannot be reached, does not answer, or has no such queue. The message names no credentials."""


class QueueSession:
    """Consumes ``queue`` from entering on, by calling ``receive``. Entering raises `SessionUnavailable`.

    ``lost`` resolves with a reason once the connection, the channel or a consumer ends. Leaving closes the
    connection, so the broker requeues the unsettled messages.
    """

    def __init__(
        self,
        url: str,
        queue: str,
        receive: Callable[[AbstractIncomingMessage], Awaitable[None]],
        *,
        name: str,
        prefetch: int,
        patience: timedelta = CALL_TIMEOUT,
    ) -> None:
        """``name`` is that of the connection in the broker's lists; ``patience`` is the longest wait for an answer."""
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.ready_at_first = 0
        """Messages that were ready on entering."""
        self._url = url
        self._queue_name = queue
        self._receive = receive
        self._name = name
        self._prefetch = prefetch
        self._patience = patience.total_seconds()
        self._wide = False
        self._tags: list[str] = []
        self._switch = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._channel: AbstractChannel | None = None
        self._underlay: aiormq.abc.AbstractChannel | None = None
        self._queue: AbstractQueue | None = None

    @property
    def address(self) -> str:
        """Host and port of the broker, without credentials."""
        return host_and_port(self._url)

    @property
    def is_consuming(self) -> bool:
        """Whether messages may come."""
        return bool(self._tags) and not self.lost.done()

    def lose(self, reason: str) -> None:
        """End the session: its messages can no longer be settled."""
        if not self.lost.done():
            self.lost.set_result(reason)

    async def widen(self) -> None:
        """Take ``prefetch`` messages at a time from now on. A failure loses the session."""
        async with self._switch:
            if self._wide or not self.is_consuming:
                return
            self._wide = True
            try:
                async with asyncio.timeout(self._patience):
                    if self._prefetch > 1:
                        await self._consume(self._prefetch - 1)
            except Exception as error:  # noqa: BLE001  however it failed, the session is of no use any more
                self.lose(f"consuming failed: {describe(error)}")

    async def cancel(self) -> None:
        """Stop consuming. Messages that were delivered can still be settled. A failure loses the session."""
        async with self._switch:
            tags, self._tags = self._tags, []
            if self._underlay is None or self.lost.done():
                return
            try:
                for tag in tags:
                    await self._underlay.basic_cancel(tag, timeout=self._patience)
            except Exception as error:  # noqa: BLE001  however it failed, the session is of no use any more
                self.lose(f"cancelling failed: {describe(error)}")

    async def count_ready(self) -> int:
        """Messages that are ready in the queue. Loses the session if the broker does not answer or has no consumer."""
        if self._underlay is None:
            return 0
        try:
            answer = await self._underlay.queue_declare(self._queue_name, passive=True, timeout=self._patience)
        except asyncio.CancelledError as error:
            raise_if_cancelled(error)
            self.lose("the broker gave no answer")
            return 0
        except Exception as error:  # noqa: BLE001  however it failed, the session is of no use any more
            self.lose(f"examining failed: {describe(error)}")
            return 0
        if not answer.consumer_count:
            self.lose("the broker knows no consumer")
        return answer.message_count or 0

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(self._patience):
                await self._open()
        except asyncio.CancelledError as error:
            await self._close()
            raise_if_cancelled(error)
            raise SessionUnavailable(f"{self.address}: gave no answer") from error
        except ChannelNotFoundEntity as error:
            await self._close()
            raise SessionUnavailable(f"the queue {self._queue_name} does not exist: apply the topology") from error
        except Exception as error:
            await self._close()
            raise SessionUnavailable(f"{self.address}: {describe(error)}") from error
        return self

    async def __aexit__(self, *_: object) -> None:
        self.lose("closed")
        await self._close()

    async def _open(self) -> None:
        self._connection = await connect(self._url, name=self._name)
        self._connection.close_callbacks.add(self._on_connection_closed)
        self._channel = await self._connection.channel(publisher_confirms=False)
        self._channel.close_callbacks.add(self._on_channel_closed)
        self._underlay = await self._channel.get_underlay_channel()
        self._underlay.on_consumer_cancel_callbacks.add(self._on_cancelled)
        self._queue = await self._channel.get_queue(self._queue_name, ensure=True)
        self.ready_at_first = self._queue.declaration_result.message_count or 0
        await self._consume(1)

    async def _consume(self, prefetch: int) -> None:
        """Begin to consume, with ``prefetch`` messages in hand at most beside those of other consumers."""
        assert self._channel is not None  # noqa: S101  opened before
        assert self._queue is not None  # noqa: S101  likewise
        await self._channel.set_qos(prefetch_count=prefetch)
        self._tags.append(await self._queue.consume(self._on_message))

    async def _close(self) -> None:
        if self._connection is not None:
            await close(self._connection)

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        if not self.lost.done():
            await self._receive(message)

    async def _on_cancelled(self, _frame: object) -> None:
        self.lose("the broker cancelled the consumer")

    def _on_channel_closed(self, _channel: object, error: BaseException | None = None) -> None:
        self.lose(f"channel closed: {describe(error)}" if error else "channel closed")

    def _on_connection_closed(self, _connection: object, error: BaseException | None = None) -> None:
        self.lose(f"connection closed: {describe(error)}" if error else "connection closed")


def count_returns(headers: Mapping[str, Any], *, redelivered: bool) -> int:
    """How often a message was delivered without being settled, by the broker's count; 0 if that is unknown.

    The count of a message that was not ``redelivered`` is ignored: its sender or another queue has written it.
    """
    value = headers.get("x-delivery-count")
    return value if redelivered and isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
