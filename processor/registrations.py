"""Commands to watch a payload, from a queue: for services that speak to the broker anyway.

A command is acknowledged after its commit. One that makes no sense goes to the dead letters, with the reason.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import aio_pika
import structlog
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelNotFoundEntity
from pydantic import ValidationError
from yarl import URL

from processor.core.errors import StoreError
from processor.core.retry import CONNECT
from processor.publisher.copies import carriable
from processor.publisher.receiving import SanitizedConnection
from processor.registry import Registry, UnknownApplication
from schemas.commands import WatchCommand
from schemas.topology import DEAD_LETTERS, HEADER_ATTEMPTS, HEADER_FIRST_SEEN, HEADER_QUEUE, HEADER_REASON, WATCHES

PREFETCH: Final = 64
PATIENCE: Final = timedelta(seconds=10)
"""How long the broker may take to answer."""
STEADY_AFTER: Final = timedelta(seconds=30)
EXAMINE_EVERY: Final = timedelta(seconds=30)
"""How often it is asked whether the broker still knows this consumer."""
_HEARTBEAT_SECONDS: Final = 20
_MAX_BODY: Final = 16 * 1024
_MAX_PROBLEMS: Final = 3
_MAX_REASON: Final = 200
"""Characters: where a command is wrong, it may say anything."""

log = structlog.get_logger()


class Registrations:
    """Consumes the queue `schemas.topology.WATCHES`, on a connection of its own. Without the queue it waits for it."""

    def __init__(
        self, urls: Sequence[str], registry: Registry, *, time: Callable[[], float], chance: Callable[[], float]
    ) -> None:
        """``urls`` are brokers of one cluster, tried in turn; ``chance`` is random in [0, 1)."""
        self._urls = tuple(urls)
        self._registry = registry
        self._time = time
        self._chance = chance

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
        session = _Session(url, self._registry)
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
    """One connection, one channel, one consumer."""

    def __init__(self, url: str, registry: Registry) -> None:
        self._url = URL(url)
        self._registry = registry
        self._lost: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._connection: SanitizedConnection | None = None
        self._channel: AbstractChannel | None = None

    async def run(self) -> str:
        """Why the session ended."""
        async with asyncio.timeout(PATIENCE.total_seconds()):
            queue = await self._open()
            await queue.consume(self._handle)
        log.info("registrations.connected", broker=f"{self._url.host}:{self._url.port}")
        while True:
            await asyncio.wait([self._lost], timeout=EXAMINE_EVERY.total_seconds())
            if self._lost.done():
                return self._lost.result()
            async with asyncio.timeout(PATIENCE.total_seconds()):
                answer = await queue.declare()  # passive, as it was got
            if not answer.consumer_count:
                return "the broker knows no consumer"

    async def close(self) -> None:
        """Close the connection: the broker takes back what is not acknowledged."""
        self._lose("closed")
        if self._connection is not None:
            with suppress(Exception):
                async with asyncio.timeout(PATIENCE.total_seconds()):
                    await self._connection.close()

    async def _open(self) -> aio_pika.abc.AbstractQueue:
        options = {} if "heartbeat" in self._url.query else {"heartbeat": str(_HEARTBEAT_SECONDS)}
        self._connection = SanitizedConnection(
            self._url.update_query(options), client_properties={"connection_name": "processor registrations"}
        )
        await self._connection.connect(timeout=PATIENCE.total_seconds())
        self._connection.close_callbacks.add(lambda *_: self._lose("the connection was closed"))
        self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        self._channel.close_callbacks.add(lambda *_: self._lose("the channel was closed"))
        await self._channel.set_qos(prefetch_count=PREFETCH)
        underlay = await self._channel.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda *_: self._lose("the broker cancelled the consumer"))
        return await self._channel.get_queue(WATCHES, ensure=True)

    def _lose(self, reason: str) -> None:
        if not self._lost.done():
            self._lost.set_result(reason)

    async def _handle(self, message: AbstractIncomingMessage) -> None:
        """One command. One that cannot be settled comes again with the next session."""
        try:
            reason = await self._take(message)
            if reason is not None:
                await self._bury(message, reason)
            await message.ack()
        except StoreError as error:
            log.error("registrations.deferred", error=str(error))
            self._lose("the store did not take a command")
        except Exception as error:  # noqa: BLE001  the connection's, which is given up for it
            self._lose(f"a command could not be settled: {type(error).__name__}")

    async def _take(self, message: AbstractIncomingMessage) -> str | None:
        """Why the command can never be done; None if it is."""
        if len(message.body) > _MAX_BODY:
            return f"the body is longer than {_MAX_BODY} bytes"
        try:
            await self._registry.watch(WatchCommand.model_validate_json(message.body))
        except ValidationError as error:
            return _problems(error)
        except UnknownApplication as error:
            return str(error)
        return None

    async def _bury(self, message: AbstractIncomingMessage, reason: str) -> None:
        assert self._channel is not None  # noqa: S101  a message came through it
        assert self._connection is not None  # noqa: S101  likewise
        log.error("registrations.dead_lettered", message_id=message.message_id, reason=reason)
        now = datetime.now(UTC).isoformat()
        headers: dict[str, Any] = {
            HEADER_REASON: reason,
            HEADER_ATTEMPTS: 1,
            HEADER_FIRST_SEEN: now,
            HEADER_QUEUE: WATCHES,
        }
        copy = aio_pika.Message(
            message.body,
            headers=carriable(
                dict(message.headers) | headers, frozenset(headers), frame_size=self._connection.frame_size
            ),
            content_type=message.content_type,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=message.message_id,
        )
        exchange = await self._channel.get_exchange(DEAD_LETTERS, ensure=False)
        await exchange.publish(copy, WATCHES, mandatory=True, timeout=PATIENCE.total_seconds())


def _problems(error: ValidationError) -> str:
    """Where and what, without the values."""
    problems = [
        f"{'.'.join(map(str, problem['loc'])) or 'body'} ({problem['type']})"
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return "; ".join(problems[:_MAX_PROBLEMS])[:_MAX_REASON]
