"""A broker whose connection can be cut."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from processor.broker.embedded import EmbeddedPublisher
from processor.broker.port import Disconnected
from processor.core.publishing.message import Message
from processor.dev.broker import FragileBroker
from tests.broker.messages import a_message


class Consumer:
    """Takes a message when it is let."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.going = asyncio.Event()
        self.going.set()

    async def deliver(self, message: Message) -> None:
        self.got.append(message)
        await self.going.wait()


@pytest.fixture
def consumer() -> Consumer:
    return Consumer()


@pytest.fixture
async def broker(consumer: Consumer) -> AsyncIterator[FragileBroker]:
    embedded = EmbeddedPublisher()
    embedded.subscribe("orders", ["#"], consumer.deliver)
    async with FragileBroker(embedded) as broker:
        yield broker


async def test_connected_it_publishes(broker: FragileBroker, consumer: Consumer) -> None:
    """As the embedded publisher does."""
    message = a_message()
    await broker.publish(message)

    assert consumer.got == [message]


async def test_cut_it_fails_what_comes(broker: FragileBroker, consumer: Consumer) -> None:
    """What is published meanwhile is not handed over."""
    broker.cut()
    with pytest.raises(Disconnected):
        await broker.publish(a_message())

    assert consumer.got == []


async def test_cut_it_fails_what_is_in_flight(broker: FragileBroker, consumer: Consumer) -> None:
    """Nobody knows whether that arrived; here it did, and settling it later changes nothing."""
    consumer.going.clear()
    answer = broker.publish(a_message())
    async with asyncio.timeout(5):
        while not consumer.got:  # noqa: ASYNC110  only asking tells
            await asyncio.sleep(0)
    broker.cut()
    consumer.going.set()
    with pytest.raises(Disconnected):
        await answer

    assert len(consumer.got) == 1


async def test_it_is_ready_once_it_is_mended(broker: FragileBroker, consumer: Consumer) -> None:
    """Whoever waits for the connection goes on, and is heard."""
    broker.cut()
    waiting = asyncio.create_task(broker.ready())
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    broker.restore()
    async with asyncio.timeout(5):
        await waiting
        await broker.publish(a_message())

    assert (done, len(consumer.got)) == (set(), 1)
