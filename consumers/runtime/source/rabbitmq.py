"""The `MessageSource` on RabbitMQ, with aio-pika.

It reconnects by itself and not by aio-pika's robust connections, which do not restore every consumer: a connection,
its channel and its consumers form one session, and the end of any of them ends the session. A watchdog ends sessions
that died in silence. The next session starts after a jittered backoff, on the next broker address.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self

import structlog
from aio_pika.abc import AbstractIncomingMessage

from consumers.runtime.errors import DeliveryLost, SettleFailed
from consumers.runtime.source.port import Headers, MessageDelivery, build_headers, parse_attempts, parse_first_seen
from consumers.runtime.source.session import RabbitDelivery, RabbitSession
from processor.broker.copy_publisher import CopyFailed, CopyPublisher, CopyTooLarge
from processor.broker.session import SessionUnavailable, count_returns
from processor.broker.transport import CALL_TIMEOUT
from processor.core.retry import CONSUME, Backoff
from processor.observability.redaction import describe
from schemas.topology import DEAD_LETTERS, RETRIES, retry_queue

log = structlog.get_logger()

BEGINNING: Final = 64 * 1024
"""Bytes that are kept of a body that is too large for the broker's present limit."""
HOLD: Final = timedelta(minutes=20)
"""How long a message is held. After 30 minutes the broker closes the channel that holds one."""
STEADY_AFTER: Final = timedelta(seconds=30)
"""A session that lasted longer resets the backoff."""


class RabbitSource:
    """Deliveries of ``queue``. While the queue does not exist, the source waits and logs that.

    ``urls`` are brokers of one cluster, tried in turn. ``watch_every`` is how often a session is examined, ``patience``
    how long the broker may take to answer, and ``hold`` how long a message may be in hand. The source begins once the
    queue of ``after`` holds no message that a dead process had in hand: such a message may kill the process, and the
    broker would charge messages of both queues for that.
    """

    def __init__(  # noqa: PLR0913  two arguments, and what tests set
        self,
        urls: Sequence[str],
        queue: str,
        *,
        prefetch: int = 64,
        watch_every: timedelta = timedelta(seconds=15),
        patience: timedelta = CALL_TIMEOUT,
        hold: timedelta = HOLD,
        backoff: Backoff = CONSUME,
        after: "RabbitSource | None" = None,
    ) -> None:
        self._urls = tuple(urls)
        self._queue = queue
        self._prefetch = prefetch
        self._watch_every = watch_every
        self._patience = patience
        self._hold = hold
        self._backoff = backoff
        self._delays = backoff.delays(random.random)
        self._copies = CopyPublisher(self._urls, name=f"consumers {queue} copies")
        self._inbound: asyncio.Queue[RabbitDelivery | None] = asyncio.Queue()
        self._handed: set[RabbitDelivery] = set()
        self._settled = asyncio.Event()
        self._session: RabbitSession | None = None
        self._stopping = asyncio.Event()
        self._after = after
        self._recovered = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._supervisor = asyncio.create_task(self._supervise())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stopping.set()
        self._supervisor.cancel()
        await asyncio.gather(self._supervisor, return_exceptions=True)
        await self._copies.close()

    async def deliveries(self) -> AsyncIterator[MessageDelivery]:
        while not self._stopping.is_set():
            delivery = await self._inbound.get()
            if delivery is None:
                break
            if delivery.redelivered:
                await self._wait_until_settled()
            if self.holds(delivery) and not self._stopping.is_set():
                self._handed.add(delivery)
                yield delivery
            if delivery.redelivered:
                await self._wait_until_settled()
        if self._supervisor.done():
            self._supervisor.result()

    async def _wait_until_settled(self) -> None:
        """Wait until every delivery that was handed out is settled or lost, or the source is stopping."""
        while self._handed and not self._stopping.is_set():
            self._settled.clear()
            await self._settled.wait()

    async def ack(self, delivery: MessageDelivery) -> None:
        await self._ack(_claim(delivery))

    async def retry(self, delivery: MessageDelivery, delay: timedelta, reason: str) -> None:
        key = retry_queue(self._queue, int(delay.total_seconds()))
        await self._replace(delivery, RETRIES, key, build_headers(delivery, queue=self._queue, reason=reason))

    async def dead_letter(self, delivery: MessageDelivery, reason: str) -> None:
        await self._replace(
            delivery, DEAD_LETTERS, self._queue, build_headers(delivery, queue=self._queue, reason=reason)
        )

    async def put_back(self, delivery: MessageDelivery) -> None:
        await self._replace(delivery, "", self._queue, delivery.headers)

    def is_overdue(self, delivery: MessageDelivery) -> bool:
        held = asyncio.get_running_loop().time() - delivery.received_at if isinstance(delivery, RabbitDelivery) else 0.0
        return held >= self._hold.total_seconds()

    def holds(self, delivery: MessageDelivery) -> bool:
        return isinstance(delivery, RabbitDelivery) and delivery in delivery.session.unsettled

    async def recover(self) -> None:
        """Return once the queue holds no message that a dead process had in hand, or cannot be consumed."""
        await self._recovered.wait()

    async def stop(self) -> None:
        if self._stopping.is_set():
            return
        self._stopping.set()
        self._settled.set()
        self._inbound.put_nowait(None)
        if self._session is not None:
            await self._session.cancel()

    async def _ack(self, held: RabbitDelivery) -> None:
        try:
            async with asyncio.timeout(self._patience.total_seconds()):
                await held.message.ack()
        except Exception as error:
            held.session.lose(f"acknowledging failed: {describe(error)}")
            raise DeliveryLost(f"not acknowledged: {describe(error)}") from error
        finally:
            self._handed.discard(held)
            self._settled.set()

    async def _replace(self, delivery: MessageDelivery, exchange: str, key: str, headers: Headers) -> None:
        """Publish the copy, wait for its confirm, and only then acknowledge the original.

        A message that is too large for a copy is dead-lettered with the beginning of its body.
        """
        held = _claim(delivery)
        try:
            try:
                await self._copies.publish(exchange, key, held.message, headers)
            except CopyTooLarge:
                await self._copies.publish(DEAD_LETTERS, self._queue, held.message, headers, longest=BEGINNING)
        except BaseException as error:
            held.session.return_claim(held)
            if isinstance(error, CopyFailed):
                raise SettleFailed(str(error)) from error
            raise
        await self._ack(held)

    async def _supervise(self) -> None:
        """Run one session after another until the source is stopped or the task cancelled."""
        try:
            if self._after is not None:
                await self._after.recover()
            turn = 0
            while not self._stopping.is_set():
                await self._run_session(self._urls[turn % len(self._urls)])
                turn += 1
                await self._pause()
        finally:
            self._inbound.put_nowait(None)

    async def _run_session(self, url: str) -> None:
        began = asyncio.get_running_loop().time()
        try:
            async with self._new_session(url) as session:
                if self._stopping.is_set():
                    return
                self._session = session
                log.info("source.connected", queue=self._queue, broker=session.address)
                reason = await session.watch(self._watch_every)
                log.warning("source.lost", queue=self._queue, reason=reason)
        except SessionUnavailable as error:
            self._recovered.set()
            log.warning("source.unavailable", queue=self._queue, reason=str(error))
        finally:
            self._session = None
            self._handed.clear()
            self._settled.set()
        if asyncio.get_running_loop().time() - began > STEADY_AFTER.total_seconds():
            self._delays = self._backoff.delays(random.random)

    def _new_session(self, url: str) -> RabbitSession:
        return RabbitSession(
            url,
            self._queue,
            self._receive,
            prefetch=self._prefetch,
            patience=self._patience,
            recovered=self._recovered,
        )

    async def _pause(self) -> None:
        delay = next(self._delays).total_seconds()
        with suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._stopping.wait()

    def _receive(self, message: AbstractIncomingMessage, session: RabbitSession) -> None:
        headers: dict[str, Any] = dict(message.headers)
        delivery = RabbitDelivery(
            body=message.body,
            event_id=message.message_id,
            type=message.type,
            headers=headers,
            redelivered=bool(message.redelivered),
            attempts=parse_attempts(headers),
            first_seen_at=parse_first_seen(headers, datetime.now(UTC)),
            returns=count_returns(headers, redelivered=bool(message.redelivered)),
            message=message,
            session=session,
            received_at=asyncio.get_running_loop().time(),
        )
        session.unsettled.add(delivery)
        self._inbound.put_nowait(delivery)


def _claim(delivery: MessageDelivery) -> RabbitDelivery:
    """Claim ``delivery`` for one settlement. Raises `DeliveryLost`, or `ValueError` if it is settled or foreign."""
    if not isinstance(delivery, RabbitDelivery):
        raise ValueError("this delivery is of another source")  # noqa: TRY004  the port promises ValueError
    if delivery in delivery.session.unsettled:
        delivery.session.unsettled.remove(delivery)
        return delivery
    if delivery.session.lost.done():
        raise DeliveryLost("the session of this delivery ended")
    raise ValueError("this delivery is settled")
