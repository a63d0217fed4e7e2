"""Commands to watch payloads, from a real RabbitMQ."""

import asyncio
import json
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel

from processor.registrations import Registrations
from processor.registry import Registry
from processor.store.store import Store
from processor.store.writer import Writer
from schemas.topology import DEAD_LETTERS, HEADER_QUEUE, HEADER_REASON, WATCHES, dead_letter_queue
from tests.consumers.raw_publisher import RawPublisher, field, long, nested, short
from tests.core.payloads import PAYLOAD, SHOP
from tests.servers.rabbitmq import RabbitMQ
from tests.watching import until

pytestmark = pytest.mark.rabbitmq

COMMAND = {"app": "shop", "payload": PAYLOAD}
DEAD = dead_letter_queue(WATCHES)


@pytest.fixture
async def channel(amqp_url: str) -> AsyncIterator[AbstractChannel]:
    connection = await aio_pika.connect(amqp_url)
    async with connection:
        yield await connection.channel()


async def declare(channel: AbstractChannel) -> None:
    """What the topology makes, as far as it matters here."""
    exchange = await channel.declare_exchange(DEAD_LETTERS, "direct", durable=True)
    dead = await channel.declare_queue(DEAD, durable=True, arguments={"x-queue-type": "quorum"})
    await dead.bind(exchange, WATCHES)
    await channel.declare_queue(WATCHES, durable=True, arguments={"x-queue-type": "quorum"})


async def send(channel: AbstractChannel, command: Any) -> None:
    body = command if isinstance(command, bytes) else json.dumps(command).encode()
    await channel.default_exchange.publish(aio_pika.Message(body, message_id="m"), WATCHES)


@asynccontextmanager
async def consuming(folder: Path, url: str) -> AsyncIterator[Writer]:
    def now() -> datetime:
        return datetime.now(UTC)

    async with Writer(partial(Store.open, f"sqlite:///{folder}/r.db"), clock=now) as writer:
        registry = Registry({"shop": SHOP}, writer, clock=now)
        registrations = Registrations([url], registry, time=time.monotonic, chance=lambda: 0.9)
        running = asyncio.create_task(registrations.run())
        try:
            yield writer
        finally:
            running.cancel()
            await asyncio.wait([running])


async def count(writer: Writer) -> int:
    return len(await writer.run(lambda store: store.watches(1000)))


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
