"""The relay against real queues of which some refuse, and some give no answer."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from structlog.testing import capture_logs

from processor.publisher.rabbitmq import RabbitOptions, RabbitPublisher
from processor.relay import Relay
from tests.publisher.outcomes import until
from tests.relaying import MemoryOutbox
from tests.servers.rabbitmq import RabbitMQ

pytestmark = pytest.mark.rabbitmq

OPTIONS: Final = RabbitOptions(exchange="events", patience=timedelta(seconds=1))
QUORUM: Final = {"x-queue-type": "quorum"}
FULL: Final = QUORUM | {"x-max-length": 1, "x-overflow": "reject-publish"}
STREAM: Final = {"x-queue-type": "stream"}
BINDINGS: Final = {"healthy": ("#",), "full": ("#",), "leaderless": ("#",), "log": ("#",)}
PAYLOADS: Final = 100
STEPS: Final = 3
EVENTS: Final = PAYLOADS * STEPS


class Queues:
    """The queues of one virtual host, and what arrived in those that are read."""

    def __init__(self, server: RabbitMQ, url: str, channel: AbstractChannel) -> None:
        self.server = server
        self.url = url
        self.channel = channel
        self.arrived: dict[str, list[str]] = defaultdict(list)

    async def declare(self, name: str, arguments: dict[str, object]) -> None:
        queue = await self.channel.declare_queue(name, durable=True, arguments=arguments)
        await queue.bind("events", "#")

    async def read(self, name: str, **arguments: object) -> None:
        """Note all that arrives from now on; from a stream, from its start."""
        queue = await self.channel.get_queue(name)

        async def note(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            self.arrived[name].append(str(message.message_id))
            await message.ack()

        await queue.consume(note, arguments=arguments)

    async def fill(self) -> None:
        """Leave no room in the queue ``full``: it notices a message late."""
        exchange = self.channel.default_exchange
        for _ in range(50):
            try:
                await exchange.publish(aio_pika.Message(b"", message_id="filler"), "full")
            except aio_pika.exceptions.DeliveryError:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("the queue takes all")

    async def silence(self) -> None:
        await asyncio.to_thread(self.server.silence, self.url, "leaderless")

    async def unsilence(self) -> None:
        await asyncio.to_thread(self.server.unsilence, self.url, "leaderless")


@pytest.fixture
async def queues(amqp_url: str, rabbitmq: RabbitMQ) -> AsyncIterator[Queues]:
    """Four queues bound to everything: one is full, one can be silenced, two are read."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel(on_return_raises=True)
        await channel.set_qos(100)
        await channel.declare_exchange("events", "topic", durable=True)
        queues = Queues(rabbitmq, amqp_url, channel)
        for name, arguments in (("healthy", QUORUM), ("full", FULL), ("leaderless", QUORUM), ("log", STREAM)):
            await queues.declare(name, arguments)
        await queues.fill()
        await queues.read("healthy")
        await queues.read("log", **{"x-stream-offset": "first"})
        yield queues


@asynccontextmanager
async def relaying(outbox: MemoryOutbox, url: str) -> AsyncIterator[Relay]:
    async with RabbitPublisher(url, OPTIONS) as publisher:
        relay = Relay(outbox, publisher, bindings=BINDINGS, clock=lambda: datetime.now(UTC))
        task = asyncio.create_task(relay.run())
        try:
            yield relay
        finally:
            task.cancel()
            await asyncio.wait([task])


def first_appearances(arrived: Sequence[str], outbox: MemoryOutbox) -> dict[str, list[int]]:
    """The positions that arrived, by payload, in the order in which each arrived first."""
    rows = {row.message.id: row for row in outbox.rows.values()}
    found: dict[str, list[int]] = defaultdict(list)
    for identity in dict.fromkeys(arrived):
        if identity in rows:
            found[rows[identity].message.payload].append(rows[identity].position)
    return found


def in_sequence(outbox: MemoryOutbox) -> dict[str, list[int]]:
    """The positions of each payload, as they were committed."""
    found: dict[str, list[int]] = defaultdict(list)
    for row in outbox.rows.values():
        found[row.message.payload].append(row.position)
    return found


async def commit_all(relay: Relay, outbox: MemoryOutbox) -> None:
    for _ in range(STEPS):
        for number in range(PAYLOADS):
            relay.offer(outbox.commit(f"payload {number}"))
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("known", [True, False], ids=["known to the channel", "unknown to the channel"])
async def test_a_full_and_a_silent_queue_delay_no_other(queues: Queues, known: bool) -> None:  # noqa: FBT001
    """A queue that takes all and the stream get each event soon, in sequence, and a bounded number of times."""
    outbox = MemoryOutbox()
    with capture_logs() as logs:
        if not known:
            await queues.silence()
        async with relaying(outbox, queues.url) as relay:
            await until(lambda: relay.live)
            if known:
                relay.offer(outbox.commit("before"))
                await until(lambda: len(queues.arrived["log"]) > 0)
                await queues.silence()
            await commit_all(relay, outbox)
            await until(lambda: all(len(set(queues.arrived[name])) >= len(outbox.rows) for name in ("healthy", "log")))
            refused = {each.queue for each in relay.refused}
            live, left = relay.live, outbox.left
            await queues.unsilence()

    assert first_appearances(queues.arrived["healthy"], outbox) == in_sequence(outbox)
    assert first_appearances(queues.arrived["log"], outbox) == in_sequence(outbox)
    assert max(Counter(queues.arrived["log"]).values()) <= 5
    assert len(queues.arrived["log"]) <= 5 * EVENTS
    assert len(logs) <= 200
    assert (refused, live, left) == ({"full", "leaderless"}, False, len(outbox.rows))
