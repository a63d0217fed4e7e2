"""The loop of a consumer: decode a message, skip a handled event, call the handler, settle the message."""

import asyncio
import inspect
import random
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final, assert_never

import structlog

from consumers.runtime.consumer import Consumer, Context, Handler
from consumers.runtime.decision import Acknowledge, Decision, GiveUp, PutBack, PutOff, decide_failed, decide_returned
from consumers.runtime.decoder import AnyEvent, Decoded, Undecodable, UnknownEvent, decode
from consumers.runtime.errors import DatabaseUnavailable, DeliveryLost, Retry, SettleFailed
from consumers.runtime.inbox import Inbox
from consumers.runtime.settings import ConsumerSettings
from consumers.runtime.source.port import MessageDelivery, MessageSource
from processor.core.retry import CONSUME
from processor.observability.redaction import describe

log = structlog.get_logger()

PRUNE_EVERY: Final = timedelta(hours=1)
PUT_OFF_TIMEOUT: Final = timedelta(minutes=1)
"""How long publishing a retry may fail before the message is dead-lettered: it takes a place of the prefetch."""


class Runtime:
    """Runs one consumer on one source.

    Messages of one payload are handled one after another, those of different payloads concurrently, as many as the
    source delivers. A message is settled only after its effect is durable.
    """

    def __init__(
        self, *, consumer: Consumer, source: MessageSource, inbox: Inbox, put_off_timeout: timedelta = PUT_OFF_TIMEOUT
    ) -> None:
        self._consumer = consumer
        self._source = source
        self._inbox = inbox
        self._limits: ConsumerSettings = consumer.resources.settings
        self._put_off_timeout = put_off_timeout
        self._lanes: dict[object, deque[tuple[MessageDelivery, Decoded]]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False

    async def run(self, stop: asyncio.Event, *, queue: str = "") -> None:
        """Consume ``queue``, by default the consumer's own, until ``stop`` is set.

        Then wait for running handlers, at most for the drain timeout, and return.
        """
        async with asyncio.TaskGroup() as group:
            pump = group.create_task(self._pump(group))
            pruner = group.create_task(self._prune_forever())
            log.info("consumer.started", queue=queue or self._consumer.queue)
            await stop.wait()
            self._draining = True
            await self._source.stop()
            await pump
            await self._drain()
            pruner.cancel()

    async def _pump(self, group: asyncio.TaskGroup) -> None:
        async for delivery in self._source.deliveries():
            decoded = decode(delivery.body)
            key = decoded.subject if isinstance(decoded, AnyEvent) else delivery
            if key in self._lanes:
                self._lanes[key].append((delivery, decoded))
                continue
            self._lanes[key] = deque([(delivery, decoded)])
            task = group.create_task(self._run_lane(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _drain(self) -> None:
        if not self._tasks:
            log.info("consumer.drained", unfinished=0)
            return
        _, unfinished = await asyncio.wait(self._tasks, timeout=self._limits.drain_timeout.total_seconds())
        for task in unfinished:
            task.cancel()
        log.info("consumer.drained", unfinished=len(unfinished))

    async def _run_lane(self, key: object) -> None:
        """Handle the messages of ``key`` in order until none is left. While draining, leave them unsettled."""
        lane = self._lanes[key]
        while lane:
            delivery, decoded = lane[0]
            if not self._draining and self._source.holds(delivery):
                await self._process(delivery, decoded)
            lane.popleft()
        del self._lanes[key]

    async def _process(self, delivery: MessageDelivery, decoded: Decoded) -> None:
        with structlog.contextvars.bound_contextvars(event_id=delivery.event_id, event_type=delivery.type):
            decision = await self._decide(delivery, decoded)
            if decision is not None:
                await self._settle(delivery, decision)

    async def _decide(self, delivery: MessageDelivery, decoded: Decoded) -> Decision | None:
        if (decision := decide_returned(delivery.returns)) is not None:
            return decision
        match decoded:
            case Undecodable(reason=reason):
                return GiveUp(reason=f"undecodable: {reason}")
            case UnknownEvent(type=event_type):
                log.info("event.unknown", type=event_type)
                return Acknowledge()
        handler = self._consumer.find_handler(decoded)
        if handler is None:
            log.debug("event.skipped")
            return Acknowledge()
        return await self._attempt(delivery, decoded, handler)

    async def _attempt(self, delivery: MessageDelivery, event: AnyEvent, handler: Handler) -> Decision | None:
        """Call ``handler`` and decide; None if the delivery was lost meanwhile. Wait for an unavailable database."""
        delays = CONSUME.delays(random.random)
        while self._source.holds(delivery):
            if self._source.is_overdue(delivery):
                return PutBack()
            try:
                await self._handle_in_time(delivery, event, handler)
            except DatabaseUnavailable as error:
                delay = next(delays)
                log.warning("database.unavailable", reason=describe(error), wait=delay.total_seconds())
                await asyncio.sleep(delay.total_seconds())
            except Exception as error:  # noqa: BLE001  a handler may raise anything; it is classified
                return decide_failed(error, attempts=delivery.attempts, max_attempts=self._limits.max_attempts)
            else:
                return Acknowledge()
        return None

    async def _handle_in_time(self, delivery: MessageDelivery, event: AnyEvent, handler: Handler) -> None:
        limit = self._limits.handler_timeout.total_seconds()
        try:
            async with asyncio.timeout(limit) as timer:
                await self._handle(delivery, event, handler)
        except TimeoutError:
            if not timer.expired():
                raise
            raise Retry(f"the handler took longer than {limit:g} s") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise Retry("the handler was cancelled from within") from None

    async def _handle(self, delivery: MessageDelivery, event: AnyEvent, handler: Handler) -> None:
        if inspect.iscoroutinefunction(handler):
            first_time = await self._handle_on_loop(delivery, event, handler)
        else:
            first_time = await self._inbox.handle_once(event.id, lambda transaction: handler(event, transaction))
        log.info("event.handled" if first_time else "event.duplicate", attempts=delivery.attempts + 1)

    async def _handle_on_loop(
        self, delivery: MessageDelivery, event: AnyEvent, handler: Callable[..., Awaitable[None]]
    ) -> bool:
        if await self._inbox.seen(event.id):
            return False
        database = self._consumer.resources.database
        await handler(event, Context(event_id=event.id, attempts=delivery.attempts, database=database))
        return await self._inbox.handle_once(event.id, lambda _: None)

    async def _settle(self, delivery: MessageDelivery, decision: Decision) -> None:
        """Settle as ``decision`` says, and try again until that succeeds or the delivery is lost."""
        delays = CONSUME.delays(random.random)
        clock = asyncio.get_running_loop().time
        began = clock()
        while True:
            try:
                await self._settle_once(delivery, decision)
            except SettleFailed as error:
                delay = next(delays)
                log.warning("settlement.failed", reason=describe(error), wait=delay.total_seconds())
                await asyncio.sleep(delay.total_seconds())
                if isinstance(decision, PutOff) and clock() - began >= self._put_off_timeout.total_seconds():
                    decision = GiveUp(reason=f"{decision.reason}; and the retry could not be published")
            except DeliveryLost as error:
                log.warning("settlement.lost", reason=describe(error))
                return
            else:
                return

    async def _settle_once(self, delivery: MessageDelivery, decision: Decision) -> None:
        attempts = delivery.attempts + 1
        match decision:
            case Acknowledge():
                await self._source.ack(delivery)
            case PutOff(delay=delay, reason=reason):
                await self._source.retry(delivery, delay, reason)
                log.warning("event.retried", reason=reason, attempts=attempts, wait=delay.total_seconds())
            case PutBack():
                await self._source.put_back(delivery)
                log.warning("event.requeued")
            case GiveUp(reason=reason):
                await self._source.dead_letter(delivery, reason)
                log.error("event.dead_lettered", reason=reason, attempts=attempts)
            case _:
                assert_never(decision)

    async def _prune_forever(self) -> None:
        while True:
            try:
                forgotten = await self._inbox.prune(self._limits.inbox_retention)
                await self._consumer.housekeep()
                log.debug("inbox.pruned", forgotten=forgotten)
            except Exception as error:  # noqa: BLE001  a failed cleanup must not stop the handling of events
                log.warning("housekeeping.failed", reason=describe(error))
            await asyncio.sleep(PRUNE_EVERY.total_seconds())
