"""Commands to watch payloads, from a real RabbitMQ."""

import asyncio
import json
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractQueue
from structlog.testing import capture_logs

from processor.core.payload.entry import Recorded, Reported
from processor.store import watches
from processor.store.store import Store
from processor.store.writer import Writer
from processor.watching.command_queue import WatchCommandConsumer
from processor.watching.watch_requests import AT_ONCE, WatchRequests
from schemas.topology import DEAD_LETTERS, HEADER_QUEUE, HEADER_REASON, MAX_DELIVERIES, WATCHES, dead_letter_queue
from tests.consumers.raw_publisher import RawPublisher, field, long, nested, short
from tests.core.payloads import PAYLOAD, SHOP
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ
from tests.support.watching import until

pytestmark = pytest.mark.rabbitmq

COMMAND = {"app": "shop", "payload": PAYLOAD}
DEAD = dead_letter_queue(WATCHES)
LIMITED: dict[str, Any] = {
    "x-queue-type": "quorum",
    "x-delivery-limit": 2,
    "x-dead-letter-exchange": DEAD_LETTERS,
    "x-dead-letter-routing-key": WATCHES,
}
"""As the topology's policy has it, with a lower limit."""
FLOODED = replace(SHOP, name="flooded", uuid=str(uuid4()))
BURST = 300


@pytest.fixture
async def channel(amqp_url: str) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        yield await connection.channel()


async def declare(channel: AbstractChannel) -> None:
    """What the topology makes, as far as it matters here."""
    await declare_dead(channel)
    await channel.declare_queue(WATCHES, durable=True, arguments=LIMITED)


async def declare_dead(channel: AbstractChannel) -> None:
    exchange = await channel.declare_exchange(DEAD_LETTERS, "direct", durable=True)
    dead = await channel.declare_queue(DEAD, durable=True, arguments={"x-queue-type": "quorum"})
    await dead.bind(exchange, WATCHES)


async def send(channel: AbstractChannel, command: Any) -> None:
    body = command if isinstance(command, bytes) else json.dumps(command).encode()
    await channel.default_exchange.publish(aio_pika.Message(body, message_id="m"), WATCHES)


class Asked:
    """The store, and for which applications it was asked to record."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.apps: list[str] = []
        self.payloads: Counter[str] = Counter()
        self.gate = asyncio.Event()
        """Nothing but the first is recorded before it is set."""
        self.gate.set()

    def record(self, entry: Reported) -> "asyncio.Future[Recorded]":
        self.apps.append(entry.report.app)
        self.payloads[entry.report.payload] += 1
        return asyncio.ensure_future(self._record(entry, wait=len(self.apps) > 1))

    async def _record(self, entry: Reported, *, wait: bool) -> Recorded:
        if wait:
            await self.gate.wait()
        return await self.writer.record(entry)


@asynccontextmanager
async def taking(url: str, broker: str, **options: Any) -> AsyncIterator[Asked]:
    """The service's part that takes commands, on whatever store there is."""

    def now() -> datetime:
        return datetime.now(UTC)

    async with Writer(partial(Store.open, url), clock=now) as writer:
        asked = Asked(writer)
        requests = WatchRequests({"flooded": FLOODED, "shop": SHOP}, asked, clock=now)
        consumer = WatchCommandConsumer([broker], requests, time=time.monotonic, chance=lambda: 0.9, **options)
        running = asyncio.create_task(consumer.run())
        try:
            yield asked
        finally:
            running.cancel()
            await asyncio.wait([running])


@asynccontextmanager
async def consuming(folder: Path, url: str) -> AsyncIterator[Writer]:
    async with taking(f"sqlite:///{folder}/r.db", url) as asked:
        yield asked.writer


async def count(writer: Writer) -> int:
    return len(await writer.run(watches.list_oldest, 1000))


async def ready(channel: AbstractChannel, queue: str) -> int:
    return (await channel.declare_queue(queue, passive=True)).declaration_result.message_count or 0


async def test_commands_become_watches(tmp_path: Path, amqp_url: str, channel: AbstractChannel) -> None:
    """Each payload is watched once, however often it is asked for, and nothing is put aside."""
    await declare(channel)
    commands = [COMMAND | {"payload": str(uuid4())} for _ in range(100)]
    for command in [*commands, *commands[:10]]:
        await send(channel, command)
    async with consuming(tmp_path, amqp_url) as writer:
        await until(lambda: _reaches(writer, 100))
        await send(channel, COMMAND)
        await until(lambda: _reaches(writer, 101))

    assert await ready(channel, DEAD) == 0


async def _reaches(writer: Writer, number: int) -> bool:
    return await count(writer) == number


async def _holds_one(channel: AbstractChannel) -> bool:
    return await _holds(channel, 1)


async def _holds(channel: AbstractChannel, number: int) -> bool:
    return await ready(channel, DEAD) == number


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (b"nonsense", "body (json_invalid)"),
        (COMMAND | {"payload": "x"}, "payload (string_pattern_mismatch)"),
        (COMMAND | {"app": "nobody"}, "no application nobody is configured"),
        (b"x" * 20_000, "the body is longer than 16384 bytes"),
    ],
)
async def test_what_can_never_be_done_is_put_aside(
    tmp_path: Path, amqp_url: str, channel: AbstractChannel, command: Any, reason: str
) -> None:
    """It lands among the dead letters as it came, with the reason, and those behind it are done."""
    await declare(channel)
    await send(channel, command)
    await send(channel, COMMAND)
    async with consuming(tmp_path, amqp_url) as writer:
        await until(lambda: _reaches(writer, 1))
        await until(lambda: _holds_one(channel))
        letter = await (await channel.get_queue(DEAD)).get()

    assert letter.body == (command if isinstance(command, bytes) else json.dumps(command).encode())
    assert (letter.headers[HEADER_REASON], letter.headers[HEADER_QUEUE]) == (reason, WATCHES)
    assert letter.message_id == "m"


async def test_nothing_in_a_command_holds_up_the_others(
    tmp_path: Path, amqp_url: str, channel: AbstractChannel
) -> None:
    """Strange properties, headers and names of fields: each is put aside, or done if its body is a command."""
    await declare(channel)
    table = {"headers": long(field(b"x-attempts", b"l" + b"\x7f" + b"\xff" * 7) + field(b"deep", nested(b"F", 10_000)))}
    large = {"headers": long(field(b"big", b"S" + long(b"x" * 130_000)) + field(b"d", b"d" + struct.pack(">d", 1e300)))}
    strange: Any = json.dumps(COMMAND | {"\x1b[2J" * 2000: 1}).encode()
    with RawPublisher(amqp_url) as raw:
        for properties in (table, large, {"timestamp": b"\xff" * 8, "message_id": short(b"\xff")}):
            raw.publish(WATCHES.encode(), b"nonsense", **properties)
            raw.publish(WATCHES.encode(), strange, **properties)
            raw.publish(WATCHES.encode(), json.dumps(COMMAND | {"payload": str(uuid4())}).encode(), **properties)
    async with consuming(tmp_path, amqp_url) as writer:
        await until(lambda: _reaches(writer, 3))
        await until(lambda: _holds(channel, 6))

    assert await ready(channel, WATCHES) == 0


async def test_waits_for_the_queue(tmp_path: Path, amqp_url: str, channel: AbstractChannel) -> None:
    """Before the topology is applied there is nothing to consume; once it is, commands are taken."""
    async with consuming(tmp_path, amqp_url) as writer:
        await asyncio.sleep(0.2)
        await declare(channel)
        await send(channel, COMMAND)

        await until(lambda: _reaches(writer, 1))


async def test_connects_again(tmp_path: Path, amqp_url: str, channel: AbstractChannel, rabbitmq: RabbitMQ) -> None:
    """A connection that the broker closes is made anew, and what was not acknowledged is done then."""
    await declare(channel)
    async with consuming(tmp_path, amqp_url) as writer:
        await send(channel, COMMAND)
        await until(lambda: _reaches(writer, 1))
        for connection in rabbitmq.api("GET", "connections"):
            if connection.get("client_properties", {}).get("connection_name") == "processor registrations":
                rabbitmq.api("DELETE", f"connections/{connection['name'].replace(' ', '%20').replace('>', '%3E')}")
        await send(channel, COMMAND | {"payload": str(uuid4())})

        await until(lambda: _reaches(writer, 2))


@pytest.mark.postgres
async def test_commands_outlast_the_store(
    amqp_url: str, channel: AbstractChannel, postgres: Postgres, postgres_url: str
) -> None:
    """With the database away they wait, however often they are tried, and are done when it is back."""
    await declare(channel)
    with capture_logs() as lines:
        async with taking(postgres_url, amqp_url) as asked:
            await asyncio.to_thread(postgres.kill)
            for _ in range(5):
                await send(channel, COMMAND | {"payload": str(uuid4())})
            await until(lambda: max(asked.payloads.values(), default=0) == 4)
            await asyncio.to_thread(postgres.start)

            await until(lambda: _reaches(asked.writer, 5))
    deferred = [line for line in lines if line["event"] == "watch_commands.delayed"]

    assert await ready(channel, DEAD) == 0
    assert 1 <= len(deferred) <= 2


@pytest.mark.postgres
async def test_commands_that_wait_long_are_given_back(
    amqp_url: str, channel: AbstractChannel, postgres: Postgres, postgres_url: str
) -> None:
    """Before the broker takes one who holds a command for hanged, it goes back to the queue, and is not charged."""
    await declare(channel)
    with capture_logs() as lines:
        async with taking(postgres_url, amqp_url, hold=timedelta(milliseconds=300)) as asked:
            await asyncio.to_thread(postgres.kill)
            for _ in range(5):
                await send(channel, COMMAND | {"payload": str(uuid4())})
            await until(lambda: sum(line["event"] == "watch_commands.requeued" for line in lines) >= 4)
            await asyncio.to_thread(postgres.start)

            await until(lambda: _reaches(asked.writer, 5))

    assert await ready(channel, DEAD) == 0
    assert await ready(channel, WATCHES) == 0


async def test_command_does_not_wait_for_those_of_another_application(
    tmp_path: Path, amqp_url: str, channel: AbstractChannel
) -> None:
    """Behind a burst of one application's, that of another is stored before most of them."""
    await declare(channel)
    for number in range(BURST):
        await send(channel, {"app": "flooded", "payload": str(UUID(int=number, version=4))})
    await send(channel, COMMAND)
    async with taking(f"sqlite:///{tmp_path}/r.db", amqp_url) as asked:
        asked.gate.clear()
        await until(lambda: "shop" in asked.apps)
        asked.gate.set()
        await until(lambda: _reaches(asked.writer, BURST + 1))

    assert asked.apps.index("shop") <= AT_ONCE


async def test_command_that_is_never_settled_is_put_aside(
    tmp_path: Path, amqp_url: str, channel: AbstractChannel
) -> None:
    """One that came again and again, as after crashes, goes to the dead letters with a reason and a line in the log."""
    await channel.declare_queue(WATCHES, durable=True, arguments={"x-queue-type": "quorum"})
    await declare_dead(channel)
    await send(channel, COMMAND)
    for _ in range(MAX_DELIVERIES):
        async with await aio_pika.connect(amqp_url) as connection:
            queue = await (await connection.channel()).get_queue(WATCHES)
            await until(lambda queue=queue: _gets(queue))  # type: ignore[misc]  # bound now
    with capture_logs() as lines:
        async with consuming(tmp_path, amqp_url):
            await until(lambda: _holds_one(channel))

    reasons = [line["reason"] for line in lines if line["event"] == "watch_commands.dead_lettered"]
    assert [f"it came {MAX_DELIVERIES} times without being settled"] == reasons


async def test_count_that_came_with_a_command(tmp_path: Path, amqp_url: str, channel: AbstractChannel) -> None:
    """What comes for the first time is taken, whatever count stands in it: it may come from another queue."""
    await declare(channel)
    body = json.dumps(COMMAND).encode()
    moved = aio_pika.Message(body, headers={"x-delivery-count": 2 * MAX_DELIVERIES})
    await channel.default_exchange.publish(moved, WATCHES)
    async with consuming(tmp_path, amqp_url) as writer:
        await until(lambda: _reaches(writer, 1))
        await until(lambda: _is_ready(channel, 0))
    dead = await ready(channel, DEAD)

    assert dead == 0


async def _gets(queue: AbstractQueue) -> bool:
    return await queue.get(fail=False) is not None


async def test_session_that_comes_to_nothing_charges_one_command(
    tmp_path: Path, amqp_url: str, channel: AbstractChannel
) -> None:
    """A process that ends before the store has taken anything had one command in hand, and not all that there are."""
    await declare(channel)
    for number in range(5):
        await send(channel, COMMAND | {"payload": str(UUID(int=number, version=4))})
    async with taking(f"sqlite:///{tmp_path}/r.db", amqp_url) as asked:
        asked.apps.append("none before")
        asked.gate.clear()
        await until(lambda: len(asked.payloads) == 1)
    await until(lambda: _is_ready(channel, 5))
    queue = await channel.get_queue(WATCHES)
    returned = [(await queue.get()).redelivered for _ in range(5)]

    assert [True, False, False, False, False] == returned


async def _is_ready(channel: AbstractChannel, number: int) -> bool:
    return await ready(channel, WATCHES) == number
