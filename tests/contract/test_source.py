"""What every source of deliveries promises; one suite for the embedded and the RabbitMQ adapter."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import pytest

from consumers.runtime.errors import DeliveryLost
from consumers.runtime.source.embedded import EmbeddedSource
from consumers.runtime.source.port import MessageDelivery, MessageSource
from consumers.runtime.source.rabbitmq import RabbitSource
from schemas.topology import HEADER_ATTEMPTS, HEADER_FIRST_SEEN, HEADER_QUEUE, HEADER_REASON
from tests.consumers.broker import RETRY_TTL_MILLISECONDS, Broker, until
from tests.consumers.events import Message, event, message

QUEUE = "orders"
DELAY = timedelta(seconds=10)
PREFETCH = 5


class Harness(Protocol):
    """A source and the ways of a test to it."""

    async def open(self) -> MessageSource: ...

    async def feed(self, message: Message) -> None: ...

    async def dead(self) -> dict[str, Any]: ...


class EmbeddedHarness:
    """Feeds without waiting for settlement, and feeds again what a closed source gave back."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._source: EmbeddedSource | None = None
        self._feeding: set[asyncio.Task[None]] = set()

    async def open(self) -> MessageSource:
        self._source = EmbeddedSource(QUEUE, prefetch=PREFETCH, sleep=_brief_sleep)
        return self._source

    async def feed(self, message: Message) -> None:
        task = asyncio.create_task(self._feed(message))
        self._feeding.add(task)
        self._stack.callback(task.cancel)
        await asyncio.sleep(0)

    async def _feed(self, message: Message) -> None:
        while True:
            source = self._source
            assert source is not None
            try:
                return await source.deliver(message)
            except DeliveryLost:
                await until(lambda: self._source is not source)  # noqa: B023  awaited within this turn

    async def dead(self) -> dict[str, Any]:
        assert self._source is not None
        (dead,) = self._source.dead_letters
        return dict(dead.headers)


class RabbitHarness:
    """Publishes to a real broker."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    async def open(self) -> MessageSource:
        return RabbitSource([self._broker.url], QUEUE, prefetch=PREFETCH)

    async def feed(self, message: Message) -> None:
        await self._broker.publish(message)

    async def dead(self) -> dict[str, Any]:
        dead = await self._broker.take(f"{QUEUE}.dead")
        assert dead is not None
        return dict(dead.headers)


async def _brief_sleep(seconds: float) -> None:
    await asyncio.sleep(RETRY_TTL_MILLISECONDS / 1000 if seconds else 0)


@pytest.fixture(params=["embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq)])
async def harness(request: pytest.FixtureRequest) -> AsyncIterator[Harness]:
    async with AsyncExitStack() as stack:
        if request.param == "embedded":
            yield EmbeddedHarness(stack)
        else:
            url = request.getfixturevalue("amqp_url")
            yield RabbitHarness(await stack.enter_async_context(Broker(url, QUEUE)))


async def take(deliveries: AsyncIterator[MessageDelivery], seconds: float = 10.0) -> MessageDelivery:
    async with asyncio.timeout(seconds):
        return await anext(deliveries)


async def nothing_comes(deliveries: AsyncIterator[MessageDelivery]) -> bool:
    pending = asyncio.ensure_future(anext(deliveries))
    done, _ = await asyncio.wait([pending], timeout=0.3)
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    return not done


async def test_delivery_says_what_was_published(harness: Harness) -> None:
    """Body, id and type arrive as published, on a first delivery without attempts."""
    published = message(event("sign.opened"))
    async with await harness.open() as source:
        await harness.feed(published)
        delivery = await take(source.deliveries())
        await source.ack(delivery)

    seen = (delivery.body, delivery.event_id, delivery.type, delivery.redelivered, delivery.attempts)

    assert seen == (published.body, published.id, published.type, False, 0)


async def test_deliveries_keep_the_order_of_the_queue(harness: Harness) -> None:
    """Deliveries come as they were published, across the limit of the prefetch."""
    published = [message(event("sign.opened", number)) for number in range(20)]
    async with await harness.open() as source:
        for each in published:
            await harness.feed(each)
        deliveries = source.deliveries()
        ids = []
        for _ in published:
            delivery = await take(deliveries)
            ids.append(delivery.event_id)
            await source.ack(delivery)

    assert ids == [each.id for each in published]


async def test_no_more_than_the_prefetch_is_handed_out(harness: Harness) -> None:
    """A further delivery waits until one of those in hand is settled."""
    async with await harness.open() as source:
        for number in range(PREFETCH + 1):
            await harness.feed(message(event("sign.opened", number)))
        deliveries = source.deliveries()
        held = [await take(deliveries) for _ in range(PREFETCH)]
        quiet = await nothing_comes(deliveries)
        await source.ack(held[0])
        further = await take(source.deliveries())

    assert (quiet, further.event_id) == (True, event("sign.opened", PREFETCH).id)


async def test_unsettled_delivery_comes_back_to_the_next_consumer(harness: Harness) -> None:
    """Closing a source returns what it had not settled."""
    published = message(event("sign.opened"))
    async with await harness.open() as source:
        await harness.feed(published)
        lost = await take(source.deliveries())
    held_after = source.holds(lost)
    async with await harness.open() as source:
        again = await take(source.deliveries())
        await source.ack(again)

    assert (held_after, again.event_id) == (False, published.id)


async def test_acknowledged_delivery_does_not_come_back(harness: Harness) -> None:
    """Only the unsettled one of two returns."""
    first, second = message(event("sign.opened", 1)), message(event("sign.opened", 2))
    async with await harness.open() as source:
        await harness.feed(first)
        await harness.feed(second)
        deliveries = source.deliveries()
        await source.ack(await take(deliveries))
        await take(deliveries)
    async with await harness.open() as source:
        deliveries = source.deliveries()
        again = await take(deliveries)
        await source.ack(again)
        quiet = await nothing_comes(deliveries)

    assert (again.event_id, quiet) == (second.id, True)


async def test_delivery_that_is_put_back_comes_as_if_for_the_first_time(harness: Harness) -> None:
    """Nothing was tried: neither attempts nor earlier deliveries are counted."""
    published = message(event("sign.opened"))
    async with await harness.open() as source:
        await harness.feed(published)
        deliveries = source.deliveries()
        await source.put_back(await take(deliveries))
        again = await take(deliveries)
        overdue = source.is_overdue(again)
        await source.ack(again)

    assert (published.id, published.body) == (again.event_id, again.body)
    assert (False, 0, 0, False) == (again.redelivered, again.attempts, again.returns, overdue)


async def test_retried_delivery_returns_with_its_attempts_counted(harness: Harness) -> None:
    """Each retry brings the same message back later, with one attempt more and the first meeting kept."""
    published = message(event("sign.opened"))
    async with await harness.open() as source:
        await harness.feed(published)
        deliveries = source.deliveries()
        first = await take(deliveries)
        await source.retry(first, DELAY, "shop is closed")
        second = await take(deliveries)
        await source.retry(second, DELAY, "shop is closed still")
        third = await take(deliveries)
        await source.ack(third)

    assert (second.attempts, third.attempts, third.event_id) == (1, 2, published.id)
    assert third.body == published.body
    assert abs(third.first_seen_at - first.first_seen_at) < timedelta(milliseconds=2)
    assert third.headers[HEADER_REASON] == "shop is closed still"


async def test_dead_letter_says_why_how_often_and_since_when(harness: Harness) -> None:
    """What failed for good lies aside with reason, attempts, queue and first meeting in its headers."""
    async with await harness.open() as source:
        await harness.feed(message(event("sign.opened")))
        deliveries = source.deliveries()
        await source.retry(await take(deliveries), DELAY, "shop is closed")
        delivery = await take(deliveries)
        await source.dead_letter(delivery, "no such shop\nat all")
        quiet = await nothing_comes(deliveries)
        headers = await harness.dead()

    assert quiet
    assert headers[HEADER_REASON] == "no such shop at all"
    assert headers[HEADER_ATTEMPTS] == 2
    assert headers[HEADER_QUEUE] == QUEUE
    assert datetime.now(UTC) - datetime.fromisoformat(headers[HEADER_FIRST_SEEN]) < timedelta(minutes=1)


async def test_second_settlement_is_refused(harness: Harness) -> None:
    """A delivery is settled exactly once, whichever way comes second."""
    async with await harness.open() as source:
        await harness.feed(message(event("sign.opened")))
        delivery = await take(source.deliveries())
        await source.ack(delivery)
        for settle in (
            source.ack(delivery),
            source.retry(delivery, DELAY, "again"),
            source.dead_letter(delivery, "again"),
        ):
            with pytest.raises(ValueError, match="settled"):
                await settle


async def test_settling_after_close_reports_the_loss(harness: Harness) -> None:
    """A delivery whose source is closed cannot be settled: its message comes again."""
    async with await harness.open() as source:
        await harness.feed(message(event("sign.opened")))
        delivery = await take(source.deliveries())

    with pytest.raises(DeliveryLost):
        await source.ack(delivery)


async def test_stopped_source_hands_out_nothing_but_still_settles(harness: Harness) -> None:
    """After a stop the deliveries end, and the one in hand can be acknowledged."""
    first, second = message(event("sign.opened", 1)), message(event("sign.opened", 2))
    async with await harness.open() as source:
        await harness.feed(first)
        deliveries = source.deliveries()
        delivery = await take(deliveries)
        await source.stop()
        await source.stop()
        await harness.feed(second)
        ended = await anext(deliveries, None)
        await source.ack(delivery)
    async with await harness.open() as source:
        remaining = await take(source.deliveries())
        await source.ack(remaining)

    assert (ended, remaining.event_id) == (None, second.id)
