"""Commands to watch a payload, from a queue: for services that speak to the broker anyway.

A command is acknowledged after its commit. One that makes no sense goes to the dead letters, with the reason. What the
store does not take waits here. It never goes back as it came: the broker counts how often a message does, and puts it
aside after so many times, as if it were at fault. What waits for very long is replaced by a copy.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import ChannelNotFoundEntity
from pydantic import ValidationError
from yarl import URL

from processor.broker.copies import carriable
from processor.broker.receiving import SanitizedConnection, returns_in
from processor.core.retry import CONNECT
from processor.observability.redaction import clean_line, validation_problems
from processor.watching.watch_requests import Backlog, Registry, UnknownApplication
from schemas.commands import WatchCommand
from schemas.topology import (
    DEAD_LETTERS,
    HEADER_ATTEMPTS,
    HEADER_FIRST_SEEN,
    HEADER_QUEUE,
    HEADER_REASON,
    MAX_DELIVERIES,
    WATCHES,
)

PREFETCH: Final = 500
"""Commands in hand. In a burst of one application's, those of another are found no further behind."""
HOLD: Final = timedelta(minutes=20)
"""How long commands wait in hand. After 30 minutes the broker takes whoever holds one for dead."""
PATIENCE: Final = timedelta(seconds=10)
"""How long the broker may take to answer."""
STEADY_AFTER: Final = timedelta(seconds=30)
EXAMINE_EVERY: Final = timedelta(seconds=30)
"""How often it is asked whether the broker still knows this consumer."""
_HEARTBEAT_SECONDS: Final = 20
_MAX_BODY: Final = 16 * 1024

log = structlog.get_logger()


class Registrations:
    """Consumes the queue `schemas.topology.WATCHES`, on a connection of its own. Without the queue it waits for it."""

    def __init__(
        self,
        urls: Sequence[str],
        registry: Registry,
        *,
        time: Callable[[], float],
        chance: Callable[[], float],
        hold: timedelta = HOLD,
    ) -> None:
        """``urls`` are brokers of one cluster, tried in turn; ``chance`` is random in [0, 1)."""
        self._urls = tuple(urls)
        self._registry = registry
        self._time = time
        self._chance = chance
        self._hold = hold

    async def run(self) -> None:
        """Consume until cancelled; connect again whenever the connection is lost."""
        failures = turn = 0
        while True:
            began = self._time()
            reason = await self._consume(self._urls[turn % len(self._urls)])
            turn += 1
            failures = 1 if self._time() - began >= STEADY_AFTER.total_seconds() else failures + 1
            log.warning("registrations.disconnected", reason=reason)
            await asyncio.sleep(CONNECT.delay(failures, self._chance()).total_seconds())

    async def _consume(self, url: str) -> str:
        """Consume as long as the session lasts; why it ended."""
        session = _Session(url, Backlog(self._registry, chance=self._chance), hold=self._hold)
        try:
            return await session.run()
        except ChannelNotFoundEntity:
            return f"the queue {WATCHES} does not exist: apply the topology"
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return "the broker gave no answer"  # a hung broker cancels what nobody cancelled
        except Exception as error:  # noqa: BLE001  whatever it was, the next connection is another one
            return type(error).__name__
        finally:
            await session.close()


class _Session:
    """One connection and one channel. It has one command in hand, and many more once that is settled.

    So the broker charges one command, and no other, for a session that comes to nothing.
    """

    def __init__(self, url: str, backlog: Backlog, *, hold: timedelta) -> None:
        self._url = URL(url)
        self._backlog = backlog
        self._hold = hold.total_seconds()
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._in_hand: set[AbstractIncomingMessage] = set()
        self._consumers: list[str] = []
        self._wide = False
        self._connection: SanitizedConnection | None = None
        self._channel: AbstractChannel | None = None

    async def run(self) -> str:
        """Why the session ended."""
        async with asyncio.timeout(PATIENCE.total_seconds()):
            queue = await self._open()
            await self._consume(queue, 1)
        log.info("registrations.connected", broker=f"{self._url.host}:{self._url.port}")
        while True:
            await asyncio.wait([self._lost], timeout=min(EXAMINE_EVERY.total_seconds(), self._hold))
            if self._lost.done():
                return self._lost.result()
            if self._is_overdue():
                return await self._give_back(queue)
            async with asyncio.timeout(PATIENCE.total_seconds()):
                answer = await queue.declare()  # passive, as it was got
            if not answer.consumer_count:
                return "the broker knows no consumer"

    async def close(self) -> None:
        """Close the connection: the broker takes back what is not acknowledged."""
        self._lose("closed")
        await self._backlog.stop()
        if self._connection is not None:
            with suppress(Exception):
                async with asyncio.timeout(PATIENCE.total_seconds()):
                    await self._connection.close()

    async def _open(self) -> AbstractQueue:
        options = {} if "heartbeat" in self._url.query else {"heartbeat": str(_HEARTBEAT_SECONDS)}
        self._connection = SanitizedConnection(
            self._url.update_query(options), client_properties={"connection_name": "processor registrations"}
        )
        await self._connection.connect(timeout=PATIENCE.total_seconds())
        self._connection.close_callbacks.add(lambda *_: self._lose("the connection was closed"))
        self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        self._channel.close_callbacks.add(lambda *_: self._lose("the channel was closed"))
        underlay = await self._channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda *_: self._lose("the broker cancelled the consumer"))
        return await self._channel.get_queue(WATCHES, ensure=True)

    async def _consume(self, queue: AbstractQueue, prefetch: int) -> None:
        assert self._channel is not None  # noqa: S101  the queue came through it
        await self._channel.set_qos(prefetch_count=prefetch)
        self._consumers.append(await queue.consume(partial(self._take, queue)))

    def _lose(self, reason: str) -> None:
        if not self._lost.done():
            self._lost.set_result(reason)

    async def _take(self, queue: AbstractQueue, message: AbstractIncomingMessage) -> None:
        self._in_hand.add(message)
        try:
            self._backlog.put(_command_in(message), partial(self._settle, queue, message))
        except (_Senseless, UnknownApplication) as error:
            await self._settle(queue, message, str(error))

    async def _settle(self, queue: AbstractQueue, message: AbstractIncomingMessage, fault: str | None = None) -> None:
        """Acknowledge it, put aside if there is a ``fault``. What cannot be settled comes again in the next session."""
        try:
            if fault is not None:
                await self._bury(message, fault)
            await message.ack()
            self._in_hand.discard(message)
            await self._widen(queue)
        except Exception as error:  # noqa: BLE001  the connection's, which is given up for it
            self._lose(f"a command could not be settled: {type(error).__name__}")

    async def _widen(self, queue: AbstractQueue) -> None:
        if not self._wide:
            self._wide = True
            await self._consume(queue, PREFETCH - 1)

    def _is_overdue(self) -> bool:
        """Whether the store has refused for as long as commands may be held. Says so, if it refuses at all."""
        since = self._backlog.refused_since
        if since is None:
            return False
        log.error("registrations.deferred", commands=len(self._in_hand), error=self._backlog.error)
        return asyncio.get_running_loop().time() - since >= self._hold

    async def _give_back(self, queue: AbstractQueue) -> str:
        """Put copies of what is in hand, which the broker has counted nothing for, in the place of the messages."""
        for consumer in self._consumers:
            await queue.cancel(consumer)
        await self._backlog.stop()
        log.warning("registrations.returned", commands=len(self._in_hand))
        for message in tuple(self._in_hand):
            await self._publish(message, "", {})
            await message.ack()
        return "the store takes no commands"

    async def _bury(self, message: AbstractIncomingMessage, reason: str) -> None:
        log.error("registrations.dead_lettered", message_id=message.message_id, reason=reason)
        now = datetime.now(UTC).isoformat()
        headers = {HEADER_REASON: reason, HEADER_ATTEMPTS: 1, HEADER_FIRST_SEEN: now, HEADER_QUEUE: WATCHES}
        await self._publish(message, DEAD_LETTERS, headers)

    async def _publish(self, message: AbstractIncomingMessage, exchange: str, headers: Mapping[str, Any]) -> None:
        """A copy with ``headers`` beside what it can carry of its own."""
        assert self._channel is not None  # noqa: S101  the message came through it
        assert self._connection is not None  # noqa: S101  likewise
        copy = aio_pika.Message(
            message.body,
            headers=carriable(
                {**message.headers, **headers}, frozenset(headers), frame_size=self._connection.frame_size
            ),
            content_type=message.content_type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message.message_id,
        )
        target = (
            await self._channel.get_exchange(exchange, ensure=False) if exchange else self._channel.default_exchange
        )
        await target.publish(copy, WATCHES, mandatory=True, timeout=PATIENCE.total_seconds())


class _Senseless(Exception):
    """A command that can never be done. The message says why."""


def _command_in(message: AbstractIncomingMessage) -> WatchCommand:
    """Raises `_Senseless`."""
    times = returns_in(message.headers, redelivered=bool(message.redelivered))
    if times >= MAX_DELIVERIES:
        raise _Senseless(f"it came {times} times without being settled")
    if len(message.body) > _MAX_BODY:
        raise _Senseless(f"the body is longer than {_MAX_BODY} bytes")
    try:
        return WatchCommand.model_validate_json(message.body)
    except ValidationError as error:
        raise _Senseless(clean_line(validation_problems(error))) from None
