"""One connection with one channel and its consumers, living and dying together.

The broker counts each message that a dead process had in hand, whether it was being handled or not, and after so many
deaths puts it aside. So a session has one message in hand until it meets one that was never delivered before: what a
dead process left stands at the head of the queue, and is taken one by one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Final, Self

import aiormq.abc
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity
from yarl import URL

from consumers.runtime.errors import SourceUnavailable
from consumers.runtime.source.port import Delivery
from processor.broker.receiving import SanitizedConnection
from processor.observability.redaction import describe

CALL_TIMEOUT: Final = timedelta(seconds=10)
CLOSE_TIMEOUT: Final = timedelta(seconds=10)
HEARTBEAT_SECONDS: Final = 20
RECOVERY_CHECK: Final = timedelta(seconds=1)
"""How often it is asked whether more is to come of what a dead process had in hand."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RabbitDelivery(Delivery):
    """A delivery and the session it can be settled on."""

    message: AbstractIncomingMessage
    session: "Session"
    received_at: float
    """By the event loop's clock."""


Receive = Callable[[AbstractIncomingMessage, "Session"], None]


class Session:
    """Consumes ``queue`` from entering on. ``lost`` resolves with a reason once any part of it is gone.

    Entering raises `SourceUnavailable`. Leaving closes the connection, so the broker takes back what is unsettled.
    """

    def __init__(
        self,
        url: str,
        queue: str,
        receive: Receive,
        *,
        prefetch: int,
        patience: timedelta = CALL_TIMEOUT,
        recovered: asyncio.Event | None = None,
    ) -> None:
        """``patience`` is how long the broker may take to answer.

        ``recovered`` is set once nothing is left in the queue that a dead process had in hand, as far as can be told.
        """
        self._recovered = recovered or asyncio.Event()
        self.unsettled: set[RabbitDelivery] = set()
        self.lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._url = url
        self._queue = queue
        self._prefetch = prefetch
        self._patience = patience.total_seconds()
        self._receive = receive
        self._received = 0
        self._received_before = 0
        self._stall_check_at = 0.0
        self._wide = False
        self._quiet_since: int | None = None
        self._tags: list[str] = []
        self._switch = asyncio.Lock()
        self._connection: AbstractConnection | None = None
        self._channel: aiormq.abc.AbstractChannel | None = None

    @property
    def address(self) -> str:
        """Host and port, without credentials."""
        return address_of(self._url)

    def lose(self, reason: str) -> None:
        """End the session: nothing that it delivered can be settled any more."""
        self.unsettled.clear()
        if not self.lost.done():
            self.lost.set_result(reason)

    def return_claim(self, delivery: RabbitDelivery) -> None:
        """Undo the claim of a settlement that did not happen."""
        if not self.lost.done():
            self.unsettled.add(delivery)

    async def cancel(self) -> None:
        """Have the broker send nothing more; what it sent can still be settled."""
        async with self._switch:
            channel, tags, self._tags = self._channel, self._tags, []
            if channel is None or self.lost.done():
                return
            try:
                for tag in tags:
                    await channel.basic_cancel(tag, timeout=self._patience)
            except Exception as error:  # noqa: BLE001  however it failed, the session is of no use any more
                self.lose(f"cancelling failed: {describe(error)}")

    async def watch(self, every: timedelta) -> str:
        """Examine the session now and then; return why it was lost."""
        self._stall_check_at = asyncio.get_running_loop().time() + every.total_seconds()
        while not self.lost.done():
            pause = every if self._recovered.is_set() else min(every, RECOVERY_CHECK)
            await asyncio.wait([self.lost], timeout=pause.total_seconds())
            if not self.lost.done() and self._tags:
                await self._examine(every)
        return self.lost.result()

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(self._patience):
                await self._open()
        except asyncio.CancelledError as error:
            await self._close()
            raise_if_wanted(error)
            raise SourceUnavailable(f"{self.address}: gave no answer") from error
        except ChannelNotFoundEntity as error:
            await self._close()
            raise SourceUnavailable(f"the queue {self._queue} does not exist: apply the topology") from error
        except Exception as error:
            await self._close()
            raise SourceUnavailable(f"{self.address}: {describe(error)}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lose("closed")
        await self._close()

    async def _open(self) -> None:
        self._connection = await connect(self._url, name=f"consumers {self._queue}")
        self._connection.close_callbacks.add(self._on_connection_closed)
        channel = await self._connection.channel(publisher_confirms=False)
        channel.close_callbacks.add(self._on_channel_closed)
        self._channel = await channel.get_underlay_channel()
        self._channel.on_consumer_cancel_callbacks.add(self._on_cancelled)
        queue = await channel.get_queue(self._queue, ensure=True)
        if not queue.declaration_result.message_count:
            self._recovered.set()
        self._consume = partial(_consume, channel, queue, self._on_message)
        self._tags = [await self._consume(1)]

    async def _widen(self) -> None:
        """Take as many messages at a time as may be, from now on."""
        async with self._switch:
            if self._wide or not self._tags or self.lost.done():
                return
            self._wide = True
            try:
                async with asyncio.timeout(self._patience):
                    self._tags += [await self._consume(self._prefetch - 1)] if self._prefetch > 1 else []
            except Exception as error:  # noqa: BLE001  however it failed, the session is of no use any more
                self.lose(f"consuming failed: {describe(error)}")

    async def _close(self) -> None:
        if self._connection is not None:
            await close(self._connection)

    async def _examine(self, every: timedelta) -> None:
        """Lose the session if the broker does not answer, has no consumer, or holds back what is ready."""
        if self._channel is None:
            return
        try:
            answer = await self._channel.queue_declare(self._queue, passive=True, timeout=self._patience)
        except asyncio.CancelledError as error:
            raise_if_wanted(error)
            self.lose("the broker gave no answer")
            return
        except Exception as error:  # noqa: BLE001  however it failed, the session is of no use any more
            self.lose(f"examining failed: {describe(error)}")
            return
        if not answer.consumer_count:
            self.lose("the broker knows no consumer")
        if self._is_calm(answer.message_count or 0):
            self._recovered.set()
        now = asyncio.get_running_loop().time()
        if now >= self._stall_check_at:
            self._stall_check_at = now + every.total_seconds()
            if self._is_stalled(answer.message_count or 0):
                self.lose("the broker holds messages back")

    def _is_calm(self, ready: int) -> bool:
        """Whether no message is ready, none is being handled, and none was delivered since this was asked before."""
        before, self._received_before = self._received_before, self._received
        return not ready and not self.unsettled and before == self._received

    def _is_stalled(self, ready: int) -> bool:
        """Whether messages were ready, none was delivered and none is being handled, twice in a row."""
        if not ready or self.unsettled:
            self._quiet_since = None
            return False
        was_quiet = self._quiet_since == self._received
        self._quiet_since = self._received
        return was_quiet

    async def _on_message(self, message: AbstractIncomingMessage) -> None:
        if not self.lost.done():
            self._received += 1
            self._receive(message, self)
            if not message.redelivered:
                self._recovered.set()
                await self._widen()

    async def _on_cancelled(self, _frame: object) -> None:
        self.lose("the broker cancelled the consumer")

    def _on_channel_closed(self, _channel: object, error: BaseException | None = None) -> None:
        self.lose(f"channel closed: {describe(error)}" if error else "channel closed")

    def _on_connection_closed(self, _connection: object, error: BaseException | None = None) -> None:
        self.lose(f"connection closed: {describe(error)}" if error else "connection closed")


async def _consume(
    channel: AbstractChannel,
    queue: AbstractQueue,
    receive: Callable[[AbstractIncomingMessage], Awaitable[None]],
    prefetch: int,
) -> str:
    """Begin to consume, with so many messages in hand at most beside those of other consumers; the consumer's tag."""
    await channel.set_qos(prefetch_count=prefetch)
    return await queue.consume(receive)


async def connect(url: str, *, name: str) -> SanitizedConnection:
    """A plain connection that does not restore itself, with a heartbeat that notices a dead peer within a minute."""
    options = {} if "heartbeat" in URL(url).query else {"heartbeat": str(HEARTBEAT_SECONDS)}
    connection = SanitizedConnection(URL(url).update_query(options), client_properties={"connection_name": name})
    try:
        await connection.connect(timeout=CALL_TIMEOUT.total_seconds())
    except BaseException:
        await close(connection)
        raise
    return connection


async def close(connection: AbstractConnection) -> None:
    """Close ``connection`` whatever state it is in: politely in time, or else for good. Raises nothing of its own."""
    with suppress(Exception):
        async with asyncio.timeout(CLOSE_TIMEOUT.total_seconds()):
            await connection.close()
    with suppress(Exception):  # after a timeout this only marks it closed, or its finalizer would try once more
        await connection.close()


def address_of(url: str) -> str:
    """Host and port of ``url``, without credentials."""
    parsed = URL(url)
    return f"{parsed.host}:{parsed.port}"


def raise_if_wanted(error: asyncio.CancelledError) -> None:
    """Raise ``error`` if somebody cancelled this task; a hung broker makes one that nobody asked for."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error
