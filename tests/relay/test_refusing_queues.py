"""The relay against real queues of which some refuse, and some give no answer."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from structlog.testing import capture_logs

from processor.broker.options import RabbitOptions
from processor.broker.rabbitmq import RabbitPublisher
from processor.relay.relay import Relay
from tests.broker.outcomes import until
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import RabbitMQ
from tests.support.relaying import KnownQueues, MemoryOutbox

pytestmark = pytest.mark.rabbitmq

OPTIONS: Final = RabbitOptions(exchange="events", patience=timedelta(seconds=1))
QUORUM: Final = {"x-queue-type": "quorum"}
FULL: Final = QUORUM | {"x-max-length": 400, "x-overflow": "reject-publish"}
STREAM: Final = {"x-queue-type": "stream"}
BINDINGS: Final = {"healthy": ("#",), "full": ("#",), "leaderless": ("#",), "log": ("#",)}
PAYLOADS: Final = 100
STEPS: Final = 3


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

    def complete(self, outbox: MemoryOutbox, *names: str) -> bool:
        """Whether every event arrived in each of the queues named."""
        wanted = {row.message.id for row in outbox.rows.values()}
        return all(wanted <= set(self.arrived[name]) for name in names)

    def disorder(self, outbox: MemoryOutbox, name: str) -> dict[str, list[int]]:
        """The positions of each payload that did not arrive first in the order of their commits."""
        found: dict[str, list[int]] = defaultdict(list)
        rows = {row.message.id: row for row in outbox.rows.values()}
        for identity in dict.fromkeys(self.arrived[name]):
            if identity in rows:
                found[rows[identity].message.payload].append(rows[identity].position)
        return {payload: positions for payload, positions in found.items() if positions != sorted(positions)}

    async def fill(self) -> None:
        """Leave no room in the queue ``full``: it notices a message late."""
        exchange = self.channel.default_exchange
        last: object = None
        while not isinstance(last, aio_pika.exceptions.DeliveryError):
            fillers = (exchange.publish(aio_pika.Message(b"", message_id="filler"), "full") for _ in range(200))
            *_, last = await asyncio.gather(*fillers, return_exceptions=True)

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
        relay = Relay(outbox, publisher, queues=KnownQueues(BINDINGS), clock=lambda: datetime.now(UTC))
        task = asyncio.create_task(relay.run())
        try:
            yield relay
        finally:
            task.cancel()
            await asyncio.wait([task])


async def commit_all(relay: Relay, outbox: MemoryOutbox) -> None:
    """Commit an event of each payload after the other, and then their next ones."""
    for _ in range(STEPS):
        for first in range(0, PAYLOADS, 10):
            relay.observe(outbox.commit(*(f"payload {number}" for number in range(first, first + 10))))
            await asyncio.sleep(0.02)


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
                relay.observe(outbox.commit("before"))
                await until(lambda: len(queues.arrived["log"]) > 0)
                await queues.silence()
            await commit_all(relay, outbox)
            await until(lambda: queues.complete(outbox, "healthy", "log"))
            refused = {each.queue for each in relay.refused}
            live, left = relay.live, outbox.left
            await queues.unsilence()

    assert [queues.disorder(outbox, name) for name in ("healthy", "log")] == [{}, {}]
    assert max(Counter(queues.arrived["log"]).values()) <= 5
    assert len(logs) <= 200
    assert (refused, live, left) == ({"full", "leaderless"}, False, len(outbox.rows))


async def test_what_was_refused_arrives_in_the_end(queues: Queues) -> None:
    """Through a lost connection and a restart, all events reach the queues that did not take them."""
    outbox = MemoryOutbox()
    await queues.silence()
    async with Proxy(queues.server.amqp_port) as proxy:
        url = queues.url.replace(f":{queues.server.amqp_port}/", f":{proxy.port}/")
        async with relaying(outbox, url) as relay:
            await until(lambda: relay.live)
            await commit_all(relay, outbox)
            await proxy.reset()
            for _ in range(2):
                await commit_all(relay, outbox)
            await until(lambda: queues.complete(outbox, "healthy", "log"))
            async with asyncio.timeout(20):
                await relay.drain()
            left = outbox.left
        async with relaying(outbox, url) as relay:
            await until(lambda: {each.queue for each in relay.refused} >= {"full", "leaderless"})
            await queues.unsilence()
            await queues.read("full")
            await queues.read("leaderless")
            await until(lambda: relay.live and outbox.left == 0, seconds=90)
            await until(lambda: queues.complete(outbox, "full", "leaderless"), seconds=30)

    assert left == len(outbox.rows) == 3 * PAYLOADS * STEPS
    assert [queues.disorder(outbox, name) for name in ("healthy", "log")] == [{}, {}]
    assert max(Counter(queues.arrived["log"]).values()) <= 8
