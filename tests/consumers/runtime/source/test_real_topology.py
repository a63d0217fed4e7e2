"""The consumer runtime on the queues, exchanges and policies that the processor really declares."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial

import pytest

from consumers.runtime.source.rabbitmq import RabbitSource
from processor.broker.topology import operations
from processor.broker.topology.desired import desired
from processor.broker.topology.management import parse_access
from schemas.topology import HEADER_REASON, RETRY_DELAYS_SECONDS, dead_letter_queue, retry_queue
from tests.consumers.broker import Broker, until
from tests.consumers.events import event, message
from tests.servers.rabbitmq import RabbitMQ

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
async def broker(rabbitmq: RabbitMQ, amqp_url: str) -> AsyncIterator[Broker]:
    access = parse_access(rabbitmq.management_url, amqp_url)
    await operations.apply(access, desired({"orders": ("#",)}))
    broker = Broker(amqp_url)
    await broker.connect()
    yield broker
    await broker.close()


async def test_every_delay_has_its_queue(broker: Broker) -> None:
    """A retry of each length is routed to the queue in which it waits."""
    async with RabbitSource([broker.url], "orders") as source:
        deliveries = source.deliveries()
        for number, seconds in enumerate(RETRY_DELAYS_SECONDS):
            await broker.publish(message(event("sign.opened", number)))
            delivery = await asyncio.wait_for(anext(deliveries), 10)
            await source.retry(delivery, timedelta(seconds=seconds), "later")
            await until(partial(_holds_one, broker, retry_queue("orders", seconds)))


async def test_dead_letter_lands_where_it_belongs(broker: Broker) -> None:
    """What failed for good is in the queue's own dead-letter queue."""
    async with RabbitSource([broker.url], "orders") as source:
        await broker.publish(message(event("sign.opened")))
        delivery = await asyncio.wait_for(anext(source.deliveries()), 10)
        await source.dead_letter(delivery, "no such shop")
        dead = await until(lambda: broker.take(dead_letter_queue("orders")))

    assert dead.headers[HEADER_REASON] == "no such shop"


async def _holds_one(broker: Broker, name: str) -> bool:
    return await broker.count(name) == 1
