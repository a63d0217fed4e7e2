"""Whatever stands in a message, it is settled: handled if its body is an event, dead-lettered if not."""

import asyncio
import itertools
import struct
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest

from consumers.runtime.composition import open_consumer
from consumers.runtime.discovery import NamedConsumer
from consumers.runtime.loop import Runtime
from consumers.runtime.settings import ConsumerSettings
from consumers.runtime.source.rabbitmq import RabbitSource
from schemas.topology import (
    HEADER_ATTEMPTS,
    HEADER_DROPPED,
    HEADER_FIRST_SEEN,
    HEADER_REASON,
    HEADER_TRACEPARENT,
)
from tests.consumers.broker import Broker, until
from tests.consumers.events import event, message
from tests.consumers.orders import Orders
from tests.consumers.raw_publisher import RawPublisher, field, long, nested, short
from tests.consumers.runtime.source.test_rabbitmq_faults import consuming, effect_count
from tests.servers.rabbitmq import RabbitMQ

pytestmark = pytest.mark.rabbitmq

JUNK = b"\x00no event"
NEW_YEAR_1 = "0001-01-01T00:00:00+14:00"  # before year 1 in UTC
FULL = struct.pack(">Q", 2**64 - 1)

HEADERS = {
    "attempts at the limit": field(HEADER_ATTEMPTS.encode(), b"l" + struct.pack(">q", 2**63 - 1)),
    "attempts that are text": field(HEADER_ATTEMPTS.encode(), b"S" + long(b"9" * 5000)),
    "first seen before time": field(HEADER_FIRST_SEEN.encode(), b"S" + long(NEW_YEAR_1.encode())),
    "headers near a frame's size": field(b"big", b"S" + long(b"x" * 130_700)),
    "many headers": b"".join(field(f"h{number}".encode(), b"S" + long(b"y" * 20)) for number in range(4000)),
    "bytes that are no text": field(b"raw", b"S" + long(b"\xff\xfe")),
    "large double": field(b"d", b"d" + struct.pack(">d", 1e300)),
    "decimal of 2 to the 32": field(b"D", b"D\xff" + b"\xff" * 4),
    "nested tables": field(b"deep", nested(b"F", 10_000)),
    "nested arrays": field(b"deep", nested(b"A", 1000)),
    "timestamp after all time": field(b"T", b"T" + FULL),
    "name that is no text": field(b"\xff\xfe", b"V"),
    "long name": field(b"n" * 255, b"V"),
    "death that is none": field(b"x-death", b"S" + long(b"yesterday")),
    "routed elsewhere": field(b"CC", b"A" + long(b"S" + long(b"bystander"))),
}
PROPERTIES: dict[str, dict[str, bytes]] = {
    "no properties": {},
    "id that is no text": {"message_id": short(b"\xff" * 255)},
    "type that is no text": {"type": short(b"\xc3")},
    "coding that is none": {"content_encoding": short(b"gzip"), "content_type": short(b"text/\xff")},
    "property timestamp after all time": {"timestamp": FULL},
    "priority beyond all": {"priority": b"\xff", "expiration": short(b"3600000")},
}
POISON: dict[str, dict[str, bytes]] = {
    **{name: {"headers": long(table), "message_id": short(b"m1")} for name, table in HEADERS.items()},
    **PROPERTIES,
}


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[Broker]:
    async with Broker(amqp_url) as broker:
        yield broker


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/orders.db"


def publish(url: str, *messages: tuple[bytes, dict[str, bytes]]) -> None:
    with RawPublisher(url) as raw:
        for body, properties in messages:
            raw.publish(b"orders", body, **properties)


def events_among(strange: Iterable[dict[str, bytes]]) -> list[tuple[bytes, dict[str, bytes]]]:
    """A good event for each of these properties."""
    bodies = (message(event("resolve.validated", number)).body for number in itertools.count())
    return list(zip(bodies, strange, strict=False))


async def test_junk_is_dead_lettered_whatever_its_properties_are(broker: Broker, sqlite_url: str) -> None:
    """Each strange property and header, on a body that is no event: a dead letter, and what comes after is handled."""
    await asyncio.to_thread(publish, broker.url, *((JUNK, properties) for properties in POISON.values()))
    await broker.publish(message(event("resolve.validated")))
    async with consuming(broker.url, sqlite_url, prefetch=len(POISON)) as consumer:
        await until(partial(effect_count, consumer))
        await until(partial(_has, broker, len(POISON)))
    dead = [await broker.take("orders.dead") for _ in POISON]

    assert [each.body for each in dead if each is not None] == [JUNK] * len(POISON)
    assert await broker.count() == 0


async def test_events_are_handled_whatever_their_properties_are(broker: Broker, sqlite_url: str) -> None:
    """The body is what counts: an event among strange properties is handled like any other."""
    await asyncio.to_thread(publish, broker.url, *events_among(POISON.values()))
    async with consuming(broker.url, sqlite_url) as consumer:
        await until(partial(_reaches, consumer, len(POISON)))

    assert (await broker.count(), await broker.count("orders.dead")) == (0, 0)


async def test_events_are_retried_whatever_their_properties_are(broker: Broker, sqlite_url: str) -> None:
    """The copy that waits in the retry queue comes back and is handled, unless its attempts are used up."""
    retried = [properties for name, properties in POISON.items() if name != "attempts at the limit"]
    await asyncio.to_thread(publish, broker.url, *events_among(retried))
    async with consuming(broker.url, sqlite_url, prefetch=len(retried)) as consumer:
        consumer.failures = [OSError("the shop is closed") for _ in retried]
        await until(partial(_reaches, consumer, len(retried)))

    assert (await broker.count(), await broker.count("orders.dead")) == (0, 0)


async def test_dead_letter_names_what_it_could_not_keep(broker: Broker, sqlite_url: str) -> None:
    """What fits stays as it was, the largest goes first, and its name is told."""
    trace = f"00-{'ab' * 16}-{'cd' * 8}-01"
    table = field(b"big", b"S" + long(b"x" * 80_000)) + field(b"deep", nested(b"A", 5_000))
    table += field(b"tenant", b"S" + long(b"north")) + field(HEADER_TRACEPARENT.encode(), b"S" + long(trace.encode()))
    properties = {"headers": long(table), "message_id": short(b"m\xff")}
    await asyncio.to_thread(publish, broker.url, (JUNK, properties))
    async with consuming(broker.url, sqlite_url):
        dead = await until(partial(broker.take, "orders.dead"))

    assert (dead.headers["tenant"], dead.headers[HEADER_TRACEPARENT], dead.message_id) == ("north", trace, "m?")
    assert dead.headers[HEADER_DROPPED] == "deep"
    assert dead.headers[HEADER_REASON].startswith("undecodable")


async def test_routing_key_that_is_no_text_stops_nothing(broker: Broker, sqlite_url: str) -> None:
    """A delivery whose routing key cannot be decoded is one like any other."""
    body = message(event("resolve.validated")).body
    with RawPublisher(broker.url) as raw:
        raw.publish(b"shop.\xff\xfe", body, exchange=b"xumm.events", message_id=short(b"m1"))
    async with consuming(broker.url, sqlite_url) as consumer:
        await until(partial(effect_count, consumer))

    assert await broker.count() == 0


async def test_body_of_16_mebibytes_is_dead_lettered_whole(broker: Broker, sqlite_url: str) -> None:
    """Size alone keeps no message in the queue."""
    body = bytes(16 * 1024 * 1024)
    await asyncio.to_thread(publish, broker.url, (body, {"message_id": short(b"m1")}))
    async with consuming(broker.url, sqlite_url):
        dead = await until(partial(broker.take, "orders.dead"))

    assert dead.body == body


async def test_body_that_the_broker_takes_no_more_is_dead_lettered_cut(
    broker: Broker, rabbitmq: RabbitMQ, sqlite_url: str
) -> None:
    """A queue outlives the limit under which its messages came: 4.0 takes 16 MiB, where 3.10 took 128."""
    await asyncio.to_thread(publish, broker.url, (bytes(2_000_000), {"message_id": short(b"m1")}))
    before = await asyncio.to_thread(rabbitmq.ctl, "eval", "application:get_env(rabbit, max_message_size).")
    await asyncio.to_thread(rabbitmq.ctl, "eval", "application:set_env(rabbit, max_message_size, 1000000).")
    try:
        async with consuming(broker.url, sqlite_url) as consumer:
            await broker.publish(message(event("resolve.validated")))
            await until(partial(effect_count, consumer))
            dead = await until(partial(broker.take, "orders.dead"))
    finally:
        size = before.strip().removeprefix("{ok,").removesuffix("}")
        await asyncio.to_thread(rabbitmq.ctl, "eval", f"application:set_env(rabbit, max_message_size, {size}).")

    assert (dead.message_id, dead.body, await broker.count()) == ("m1", bytes(65_536), 0)
    assert dead.headers[HEADER_DROPPED] == "(body after 65536 bytes)"


async def test_message_that_cannot_be_put_off_is_dead_lettered(broker: Broker, sqlite_url: str) -> None:
    """A retry queue that is missing does not have failing messages hold the places of good ones."""
    await broker.channel.queue_delete("orders.retry.10s")
    source = RabbitSource([broker.url], "orders", prefetch=1)
    settings = ConsumerSettings(database_url=sqlite_url)
    async with open_consumer(NamedConsumer(name="orders", consumer=Orders), settings) as (consumer, inbox), source:
        assert isinstance(consumer, Orders)
        consumer.failures = [OSError("the shop is closed")]
        await broker.publish(message(event("resolve.validated", 1)))
        await broker.publish(message(event("resolve.validated", 2)))
        running = asyncio.create_task(
            Runtime(consumer=consumer, source=source, inbox=inbox, put_off_timeout=timedelta(seconds=1)).run(
                consumer.stop
            )
        )
        dead = await until(partial(broker.take, "orders.dead"))
        await until(partial(effect_count, consumer))
        consumer.stop.set()
        await running

    assert dead.message_id == event("resolve.validated", 1).id
    assert dead.headers[HEADER_REASON] == "OSError: the shop is closed; and the retry could not be published"


async def _has(broker: Broker, count: int) -> bool:
    return await broker.count("orders.dead") == count


async def _reaches(consumer: Orders, count: int) -> bool:
    return await effect_count(consumer) >= count
