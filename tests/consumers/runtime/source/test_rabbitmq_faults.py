"""A consumer on a real RabbitMQ through crashes, cut connections and deleted queues: nothing lost, effects once."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from sqlalchemy.exc import DBAPIError
from structlog.testing import capture_logs
from yarl import URL

from consumers.runtime.composition import open_consumer, run_consumer
from consumers.runtime.database import ConsumerDatabase
from consumers.runtime.discovery import NamedConsumer
from consumers.runtime.errors import DatabaseUnavailable, Fatal, SettleFailed
from consumers.runtime.loop import Runtime
from consumers.runtime.settings import ConsumerSettings
from consumers.runtime.source.rabbitmq import RabbitSource
from consumers.runtime.source.session import RabbitSession
from processor.core.retry import Backoff
from schemas.topology import (
    DEAD_LETTERS,
    HEADER_ATTEMPTS,
    HEADER_FIRST_SEEN,
    HEADER_QUEUE,
    HEADER_REASON,
    HEADER_TRACEPARENT,
    MAX_DELIVERIES,
)
from tests.consumers.broker import Broker, until
from tests.consumers.events import event, message, payload_uuid, raw_message
from tests.consumers.orders import Orders, effects_in
from tests.servers.postgres import Postgres
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import RabbitMQ

pytestmark = pytest.mark.rabbitmq

GUILTY = 1
"""The second of its queue."""
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def broker(amqp_url: str) -> AsyncIterator[Broker]:
    async with Broker(amqp_url) as broker:
        yield broker


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/orders.db"


@asynccontextmanager
async def consuming(amqp_url: str, database_url: str, **options: Any) -> AsyncIterator[Orders]:
    """The orders consumer at work on the broker."""
    settings = ConsumerSettings(database_url=database_url)
    backoff = Backoff(first=timedelta(milliseconds=50), cap=timedelta(milliseconds=500))
    source = RabbitSource([amqp_url], "orders", backoff=backoff, **options)
    async with open_consumer(NamedConsumer(name="orders", consumer=Orders), settings) as (consumer, inbox), source:
        assert isinstance(consumer, Orders)
        runtime = Runtime(consumer=consumer, source=source, inbox=inbox)
        task = asyncio.create_task(runtime.run(consumer.stop))
        try:
            yield consumer
        finally:
            consumer.stop.set()
            await task


async def effects_of(consumer: Orders) -> list[tuple[str, str]]:
    return await consumer.resources.database.read(effects_in)


async def effect_count(consumer: Orders) -> int:
    return len(await effects_of(consumer))


async def test_crash_between_commit_and_ack_leaves_one_effect(
    broker: Broker, database_url: str, tmp_path: Path
) -> None:
    """SIGKILL after the effect's commit: the next process gets the message again, and adds no second effect."""
    await broker.publish(message(event("resolve.validated")))
    command = ["-m", "tests.consumers.runtime.source.dying_process", broker.url, database_url, str(tmp_path / "died")]
    first = await asyncio.create_subprocess_exec(sys.executable, *command)
    died_of = await asyncio.wait_for(first.wait(), 30)
    effects_then = await _effects_at(database_url)
    second = await asyncio.create_subprocess_exec(sys.executable, *command)
    await until(broker.consumer_count)
    await broker.publish(message(event("resolve.validated", 2)))
    await until(lambda: _has_effects(database_url, 2))
    second.send_signal(signal.SIGTERM)
    ended_with = await asyncio.wait_for(second.wait(), 30)

    assert (died_of, ended_with) == (-signal.SIGKILL, 0)
    assert effects_then == [(payload_uuid(1), "0000000001")]
    assert await _effects_at(database_url) == [(payload_uuid(1), "0000000001"), (payload_uuid(2), "0000000001")]
    assert await broker.count() == 0


async def test_crash_loop_costs_no_innocent(rabbitmq: RabbitMQ, broker: Broker, sqlite_url: str) -> None:
    """Of 64 messages in hand one kills the process each time: it alone is put aside, and the others are handled."""
    await limit_deliveries(rabbitmq, broker, 2)
    for number in range(64):
        await broker.publish_to("orders", message(event("resolve.validated", number)))
    died = await deaths_until(broker, sqlite_url, "orders.dead")
    dead = await broker.take("orders.dead")

    assert dead is not None
    assert dead.message_id == event("resolve.validated", GUILTY).id
    assert (3, 0, 0) == (died, await broker.count(), await broker.count("orders.dead"))


async def test_crash_loop_costs_no_innocent_of_another_queue(
    rabbitmq: RabbitMQ, broker: Broker, sqlite_url: str
) -> None:
    """What kills the process stands in the second of its queues: those in the first are not charged again and again."""
    await limit_deliveries(rabbitmq, broker, 2)
    async with Broker(broker.url, "more-orders") as second:
        await second.publish_to("more-orders", message(event("resolve.validated", GUILTY)))
    for number in (0, *range(2, 64)):
        await broker.publish_to("orders", message(event("resolve.validated", number)))
    died = await deaths_until(broker, sqlite_url, "more-orders.dead")

    assert (3, 0, 0) == (died, await broker.count(), await broker.count("orders.dead"))


async def deaths_until(broker: Broker, database_url: str, dead: str) -> int:
    """Have a process started whenever it died, until the guilty message is in ``dead`` and all others are handled."""

    async def is_over() -> bool:
        return await broker.count(dead) > 0 and await _has_effects(database_url, 63)

    command = ["-m", "tests.consumers.runtime.source.guilty_process", broker.url, database_url, payload_uuid(GUILTY)]
    died, running = 0, True
    while running:
        process = await asyncio.create_subprocess_exec(sys.executable, *command)
        await until(lambda process=process: process.returncode is not None or is_over())  # type: ignore[misc]  # bound now
        running = process.returncode is not None
        died += running
    process.terminate()
    await asyncio.wait_for(process.wait(), 30)
    return died


async def test_message_that_is_never_settled_is_put_aside_with_a_reason(broker: Broker, sqlite_url: str) -> None:
    """One that came again and again goes to the dead letters before the broker puts it there without a word."""
    await broker.publish(message(event("resolve.validated")))
    for _ in range(MAX_DELIVERIES):
        async with await aio_pika.connect(broker.url) as connection:
            queue = await (await connection.channel()).get_queue("orders", ensure=False)
            await until(lambda queue=queue: queue.get(fail=False))  # type: ignore[misc]  # bound now
    async with consuming(broker.url, sqlite_url):
        dead = await until(lambda: broker.take("orders.dead"))

    assert f"it came {MAX_DELIVERIES} times without being settled, as after crashes" == dead.headers[HEADER_REASON]
    assert await effects_at_rest(sqlite_url) == []


async def test_count_that_came_with_a_message(broker: Broker, sqlite_url: str) -> None:
    """What comes for the first time is handled, whatever count stands in it: it may come from another queue."""
    published = message(event("resolve.validated"))
    moved = aio_pika.Message(published.body, headers={"x-delivery-count": 2 * MAX_DELIVERIES})
    await broker.channel.default_exchange.publish(moved, "orders")
    async with consuming(broker.url, sqlite_url) as consumer:
        await until(lambda: effect_count(consumer))
        await until(lambda: _is_empty(broker))

    assert await broker.take("orders.dead") is None


async def _is_empty(broker: Broker) -> bool:
    return await broker.count() == 0


async def test_suspects_are_handed_out_alone(broker: Broker) -> None:
    """What another process gave back unsettled comes one by one, after what is in hand, and before what follows."""
    other = await aio_pika.connect(broker.url)
    queue = await (await other.channel()).get_queue("orders", ensure=False)
    for number in range(3):
        await broker.publish(message(event("sign.opened", number)))
        await until(lambda: queue.get(fail=False))
    async with RabbitSource([broker.url], "orders", prefetch=9) as source:
        deliveries = source.deliveries()
        await broker.publish(message(event("sign.opened", 3)))
        in_hand = await asyncio.wait_for(anext(deliveries), 10)
        await other.close()
        for number in (4, 5):
            await until(lambda number=number: _holds(source, number))  # type: ignore[misc]  # bound now
            await broker.publish(message(event("sign.opened", number)))
        handed, alone = [in_hand.event_id], []
        while len(handed) < 6:
            following = asyncio.ensure_future(anext(deliveries))
            await asyncio.sleep(0.02)
            alone.append(not following.done())
            await source.ack(in_hand)
            in_hand = await asyncio.wait_for(following, 10)
            handed.append(in_hand.event_id)

    assert [event("sign.opened", number).id for number in (3, 0, 1, 2, 4, 5)] == handed
    assert [True, True, True, True, False] == alone


def _holds(source: RabbitSource, number: int) -> bool:
    return source._session is not None and len(source._session.unsettled) == number


async def test_poison_message_lands_in_the_dead_queue_with_its_story(broker: Broker, sqlite_url: str) -> None:
    """It waits out its retries, then lies in the dead-letter queue with reason, attempts and trace, body untouched."""
    published = message(event("resolve.validated"))
    async with consuming(broker.url, sqlite_url) as consumer:
        consumer.failures = [RuntimeError(f"shop {number} is closed") for number in range(1, 6)]
        await broker.publish(published, headers={HEADER_TRACEPARENT: TRACE})
        dead = await until(lambda: broker.take("orders.dead"))

    headers = dead.headers
    assert headers[HEADER_REASON] == "RuntimeError: shop 5 is closed"
    assert (headers[HEADER_ATTEMPTS], headers[HEADER_QUEUE]) == (5, "orders")
    assert headers[HEADER_TRACEPARENT] == TRACE
    assert HEADER_FIRST_SEEN in headers
    assert (dead.body, dead.message_id, dead.type) == (published.body, published.id, published.type)
    assert await effects_at_rest(sqlite_url) == []


async def test_undecodable_message_lands_in_the_dead_queue(broker: Broker, sqlite_url: str) -> None:
    """A body that is no event is put aside with the reason, and what follows is handled."""
    async with consuming(broker.url, sqlite_url) as consumer:
        await broker.publish(raw_message(b"\x00not an event"))
        await broker.publish(message(event("resolve.validated")))
        dead = await until(lambda: broker.take("orders.dead"))
        await until(lambda: effect_count(consumer))

    assert dead.body == b"\x00not an event"
    assert dead.headers[HEADER_REASON].startswith("undecodable: ")


async def test_message_whose_dead_letter_queue_is_missing_is_kept(broker: Broker, sqlite_url: str) -> None:
    """Unroutable copies are noticed: the message stays until its dead-letter queue exists again."""
    await broker.channel.queue_delete("orders.dead")
    async with consuming(broker.url, sqlite_url) as consumer:
        consumer.failures = [Fatal("no such shop")]
        await broker.publish(message(event("resolve.validated")))
        await until(lambda: not consumer.failures)
        await broker.declare()
        dead = await until(lambda: broker.take("orders.dead"))

    assert dead.headers[HEADER_REASON] == "no such shop"


async def test_missing_retry_exchange_costs_no_message(broker: Broker, sqlite_url: str) -> None:
    """Publishing to a missing exchange kills its channel; the message is held, and put aside once there is one."""
    await broker.channel.exchange_delete(DEAD_LETTERS)
    async with consuming(broker.url, sqlite_url) as consumer:
        consumer.failures = [Fatal("no such shop")]
        await broker.publish(message(event("resolve.validated")))
        await until(lambda: not consumer.failures)
        await broker.declare()
        dead = await until(lambda: broker.take("orders.dead"))

    assert dead.message_id == event("resolve.validated").id


async def test_broker_killed_under_load_loses_and_doubles_nothing(
    rabbitmq: RabbitMQ, broker: Broker, sqlite_url: str
) -> None:
    """SIGKILL of the broker while 300 messages are consumed: all are handled, each once, in order per payload."""
    published = [event("resolve.validated", number % 100, number // 100 + 1) for number in range(300)]
    for each in published:
        await broker.publish(message(each))
    async with consuming(broker.url, sqlite_url, prefetch=16) as consumer:
        await until(lambda: effect_count(consumer))
        before = await effect_count(consumer)
        await asyncio.to_thread(rabbitmq.kill)
        await asyncio.to_thread(rabbitmq.start)
        await until(lambda: _reaches(consumer, 300), seconds=60)
        effects = await effects_of(consumer)
    await broker.connect()

    assert before < 300
    assert sorted(effects) == sorted((each.subject, each.sequence) for each in published)
    assert all(_in_order(effects, payload_uuid(number)) for number in range(100))
    assert await broker.count() == 0


async def test_queue_deleted_and_recreated_is_consumed_again(broker: Broker, sqlite_url: str) -> None:
    """The broker's own notice is enough, without the watchdog; the consumer is back as soon as the queue is."""
    async with consuming(broker.url, sqlite_url, watch_every=timedelta(hours=1)) as consumer:
        await until(broker.consumer_count)
        with capture_logs() as lines:
            await broker.channel.queue_delete("orders")
            await until(lambda: _logged(lines, "source.unavailable"))
        await broker.declare()
        await until(broker.consumer_count)
        await broker.publish(message(event("resolve.validated")))
        await until(lambda: effect_count(consumer))


async def test_connections_closed_by_an_operator_are_replaced(
    rabbitmq: RabbitMQ, broker: Broker, sqlite_url: str
) -> None:
    """Closing every connection at the broker is survived."""
    vhost = URL(broker.url).path.removeprefix("/")
    async with consuming(broker.url, sqlite_url) as consumer:
        await until(broker.consumer_count)
        await asyncio.to_thread(rabbitmq.ctl, "close_all_connections", "--vhost", vhost, "maintenance")
        await broker.connect()
        await until(broker.consumer_count)
        await broker.publish(message(event("resolve.validated")))
        await until(lambda: effect_count(consumer))


async def test_consumer_starts_before_its_broker(broker: Broker, sqlite_url: str) -> None:
    """With no broker there it waits, and consumes once there is one."""
    async with proxied(broker.url) as (proxy, url):
        await proxy.cut()
        async with consuming(url, sqlite_url) as consumer:
            await broker.publish(message(event("resolve.validated")))
            with capture_logs() as lines:
                await until(lambda: _logged(lines, "source.unavailable"))
            await proxy.restore()
            await until(lambda: effect_count(consumer))


async def test_broker_that_falls_silent_is_noticed(broker: Broker, sqlite_url: str) -> None:
    """A half-open connection carries nothing and breaks nothing: the watchdog ends it."""
    options = {"watch_every": timedelta(milliseconds=100), "patience": timedelta(milliseconds=500)}
    async with proxied(broker.url) as (proxy, url), consuming(url, sqlite_url, **options) as consumer:
        await until(broker.consumer_count)
        with capture_logs() as lines:
            await proxy.half_open()
            await broker.publish(message(event("resolve.validated")))
            await until(lambda: _logged(lines, "source.lost"))
        await proxy.reset()
        await proxy.restore()
        await until(lambda: effect_count(consumer))


async def test_consumer_that_the_broker_forgot_is_noticed(broker: Broker, sqlite_url: str) -> None:
    """A consumer cancelled behind the library's back leaves a queue without consumers: the watchdog sees it."""
    options = {"watch_every": timedelta(milliseconds=100)}
    settings = ConsumerSettings(database_url=sqlite_url)
    source = RabbitSource([broker.url], "orders", **options)
    async with open_consumer(NamedConsumer(name="orders", consumer=Orders), settings), source:
        await until(broker.consumer_count)
        assert source._session is not None
        session, (tag,) = source._session, source._session._tags
        assert session._underlay is not None
        await session._underlay.basic_cancel(tag)
        await until(session.lost.done)
        await until(broker.consumer_count)

    assert session.lost.result() == "the broker knows no consumer"


@pytest.mark.parametrize(
    ("answers", "stalled"),
    [([(5, 0), (5, 0)], True), ([(5, 0), (5, 1)], False), ([(5, 0), (0, 0), (5, 0)], False), ([(0, 0), (0, 0)], False)],
)
async def test_session_is_stalled_if_ready_messages_do_not_come_twice_in_a_row(
    answers: list[tuple[int, int]], stalled: str
) -> None:
    """Messages ready at the broker, none in hand and none received between two examinations: something is wrong."""
    session = RabbitSession("amqp://localhost/", "orders", lambda *_: None, prefetch=1)
    for ready, received in answers:
        session._received += received
        found = session._is_stalled(ready)

    assert found == stalled


@pytest.fixture
def impatient(rabbitmq: RabbitMQ) -> Iterator[None]:
    """A broker that closes the channel of whoever holds a message for 2 s, as it does after 30 minutes by default."""
    rabbitmq.ctl("eval", _TIMES.format(timeout=2000, tick=200))
    yield
    rabbitmq.ctl("eval", _TIMES.format(timeout=1_800_000, tick=60_000))


_TIMES = """application:set_env(rabbit, consumer_timeout, {timeout}),
application:set_env(rabbit, channel_tick_interval, {tick})."""


@pytest.mark.usefixtures("impatient")
async def test_message_outlasts_the_database(rabbitmq: RabbitMQ, broker: Broker, sqlite_url: str) -> None:
    """While its database is away a message is held, put back and held again: the broker has nothing to count."""
    await limit_deliveries(rabbitmq, broker, 1)
    with capture_logs() as lines:
        async with consuming(broker.url, sqlite_url, hold=timedelta(milliseconds=500)) as consumer:
            consumer.failures = [DatabaseUnavailable("away")] * 100
            await broker.publish(message(event("resolve.validated")))
            await until(lambda: sum(line["event"] == "event.requeued" for line in lines) == 3)
            consumer.failures.clear()
            await until(lambda: effect_count(consumer))
            await until(lambda: _is_empty(broker))

    assert await broker.count("orders.dead") == 0
    assert [line["attempts"] for line in lines if line["event"] == "event.handled"] == [1]
    assert not _logged(lines, "source.lost")


async def _is_empty(broker: Broker) -> bool:
    return await broker.count() == 0


async def limit_deliveries(rabbitmq: RabbitMQ, broker: Broker, limit: int) -> None:
    """Put aside what comes more often than that without being settled, as the topology's policy does."""
    vhost = URL(broker.url).path.removeprefix("/")
    for queue in ("orders", "more-orders"):
        limits = {"delivery-limit": limit, "dead-letter-exchange": DEAD_LETTERS, "dead-letter-routing-key": queue}
        policy = {"pattern": f"^{queue}$", "definition": limits, "apply-to": "queues"}
        await asyncio.to_thread(rabbitmq.api, "PUT", f"policies/{vhost}/{queue}", policy)


@pytest.mark.postgres
async def test_consumer_starts_before_its_database(broker: Broker, postgres: Postgres, postgres_url: str) -> None:
    """With no database there it waits, and handles once there is one."""
    await asyncio.to_thread(postgres.stop)
    stop = asyncio.Event()
    settings = ConsumerSettings(database_url=postgres_url)
    source = RabbitSource([broker.url], "orders")
    with capture_logs() as lines:
        running = asyncio.create_task(
            run_consumer(NamedConsumer(name="orders", consumer=Orders), settings, {"orders": source}, stop)
        )
        await until(lambda: _logged(lines, "database.unavailable"))
    await asyncio.to_thread(postgres.start)
    await broker.publish(message(event("resolve.validated")))
    await until(lambda: _logged_effect(postgres_url))
    stop.set()
    await running


async def test_unsettled_messages_return_when_the_process_stops(broker: Broker, sqlite_url: str) -> None:
    """What was fetched and not begun is in the queue again after a stop."""
    async with consuming(broker.url, sqlite_url) as consumer:
        consumer.gate.clear()
        for sequence in range(1, 4):
            await broker.publish(message(event("sign.opened", 1, sequence)))
        await until(lambda: consumer.begun)
        consumer.stop.set()
        await asyncio.sleep(0)  # one turn of the loop: the runtime has seen it
        consumer.gate.set()
    left = await until(broker.count)

    assert (len(consumer.seen), left) == (1, 2)


async def test_retry_that_cannot_be_published_leaves_the_delivery_in_hand(broker: Broker) -> None:
    """Without its broker the copy is not published, so the original is not acknowledged and can be settled again."""
    async with RabbitSource([broker.url], "orders") as source:
        await broker.publish(message(event("sign.opened")))
        delivery = await anext(source.deliveries())
        source._copies._urls = (_with_port(broker.url, 1),)
        with pytest.raises(SettleFailed):
            await source.retry(delivery, timedelta(seconds=10), "later")
        held = source.holds(delivery)
        source._copies._urls = (broker.url,)
        await source.dead_letter(delivery, "later")
        dead = await until(lambda: broker.take("orders.dead"))

    assert (held, dead.headers[HEADER_REASON]) == (True, "later")


@asynccontextmanager
async def proxied(amqp_url: str) -> AsyncIterator[tuple[Proxy, str]]:
    """A proxy before the broker, and the address through it."""
    port = URL(amqp_url).port
    assert port is not None
    async with Proxy(port) as proxy:
        yield proxy, _with_port(amqp_url, proxy.port)


def _with_port(url: str, port: int) -> str:
    return str(URL(url).with_port(port))


def _logged(lines: Sequence[Mapping[str, Any]], name: str) -> bool:
    return any(line["event"] == name for line in lines)


async def _logged_effect(database_url: str) -> bool:
    try:
        return await _has_effects(database_url, 1)
    except DBAPIError:
        return False


async def _reaches(consumer: Orders, count: int) -> bool:
    return await effect_count(consumer) >= count


async def _has_effects(database_url: str, count: int) -> bool:
    return len(await _effects_at(database_url)) >= count


async def _effects_at(database_url: str) -> list[tuple[str, str]]:
    async with ConsumerDatabase(database_url) as database:
        return await database.read(effects_in)


async def effects_at_rest(database_url: str) -> list[tuple[str, str]]:
    """The effects in the database of a consumer that stopped."""
    return await _effects_at(database_url)


def _in_order(effects: list[tuple[str, str]], payload: str) -> bool:
    sequences = [sequence for subject, sequence in effects if subject == payload]
    return sequences == sorted(sequences)
