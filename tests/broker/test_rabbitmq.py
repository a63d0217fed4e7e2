"""The RabbitMQ adapter against a real broker in bad weather."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import aio_pika
import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from processor.broker.options import RabbitOptions
from processor.broker.port import Disconnected, Nacked, Unanswered, Unpermitted, Unroutable, Unsendable
from processor.broker.rabbitmq import RabbitPublisher
from processor.core.publishing.message import Message
from processor.core.retry import Backoff
from tests.broker.messages import a_message
from tests.broker.outcomes import outcomes_of, until
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import RabbitMQ

pytestmark = pytest.mark.rabbitmq

QUICK = RabbitOptions(
    exchange="events", backoff=Backoff(first=timedelta(milliseconds=50), cap=timedelta(milliseconds=200))
)
LAST = a_message(1_000_000)


@pytest.fixture
async def channel(amqp_url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A channel where the exchange ``events`` exists."""
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.declare_exchange("events", "topic", durable=True)
        yield channel


@asynccontextmanager
async def connected(url: str, options: RabbitOptions = QUICK) -> AsyncIterator[RabbitPublisher]:
    async with RabbitPublisher(url, options) as publisher:
        await asyncio.wait_for(publisher.ready(), 20)
        yield publisher


async def _declare(channel: aio_pika.abc.AbstractChannel, binding: str = "#", **arguments: Any) -> Any:
    queue = await channel.declare_queue("all", durable=True, arguments={"x-queue-type": "quorum", **arguments})
    await queue.bind("events", binding)
    return queue


def _named(logs: list[EventDict], event: str) -> list[EventDict]:
    return [entry for entry in logs if entry["event"] == event]


async def test_messages_are_persistent_and_typed(amqp_url: str, channel: aio_pika.abc.AbstractChannel) -> None:
    """What arrives is marked as persistent CloudEvents JSON."""
    queue = await _declare(channel)
    async with connected(amqp_url) as publisher:
        await publisher.publish(a_message())

    message = await queue.get(no_ack=True)

    assert (message.delivery_mode, message.content_type) == (2, "application/cloudevents+json")


async def test_unroutable_messages_fail_alone(amqp_url: str, channel: aio_pika.abc.AbstractChannel) -> None:
    """Of many in flight, exactly those that no queue is bound for fail with `Unroutable`."""
    await _declare(channel, "*.sign.*")
    keys = ["shop.sign.opened" if number % 3 else "shop.resolve.signed" for number in range(600)]
    async with connected(amqp_url) as publisher:
        outcomes = await outcomes_of(
            [publisher.publish(a_message(number, routing_key=key)) for number, key in enumerate(keys)]
        )

    assert outcomes == [None if number % 3 else Unroutable for number in range(600)]


async def test_a_full_queue_refuses(amqp_url: str, channel: aio_pika.abc.AbstractChannel) -> None:
    """A ``basic.nack`` fails the one message, and the connection lives on."""
    queue = await channel.declare_queue(
        "one", durable=True, arguments={"x-max-length": 1, "x-overflow": "reject-publish"}
    )
    await queue.bind("events", "#")
    async with connected(amqp_url) as publisher:
        await publisher.publish(a_message(1))
        refused = await outcomes_of([publisher.publish(a_message(2))])
        await queue.get(no_ack=True)
        await publisher.publish(a_message(3))

    assert refused == [Nacked]


async def test_a_message_amqp_cannot_carry_fails_alone(amqp_url: str, channel: aio_pika.abc.AbstractChannel) -> None:
    """A routing key that is too long fails its own future, between two that succeed."""
    await _declare(channel)
    async with connected(amqp_url) as publisher:
        outcomes = await outcomes_of(
            [
                publisher.publish(a_message(number, routing_key="k" * length))
                for number, length in enumerate((9, 256, 9))
            ]
        )

    assert outcomes == [None, Unsendable, None]


async def test_a_killed_broker_has_what_it_confirmed(
    amqp_url: str, channel: aio_pika.abc.AbstractChannel, rabbitmq: RabbitMQ
) -> None:
    """After SIGKILL with thousands in flight, what resolved is in the queue, and the publisher finds back."""
    queue = await channel.declare_queue("all", durable=True)  # a quorum queue this young loses its leader
    await queue.bind("events", "#")
    options = replace(QUICK, confirm_timeout=timedelta(seconds=1))
    async with connected(amqp_url, options) as publisher:
        futures = await _publish_until_it_dies(publisher, rabbitmq)
        outcomes = await outcomes_of(futures)
        await asyncio.to_thread(rabbitmq.start)
        await _publish_at_last(publisher, LAST)
        stored = await _everything_in(amqp_url)
    resolved = {a_message(number).id for number, outcome in enumerate(outcomes) if outcome is None}

    assert set(outcomes) == {None, Disconnected}
    assert resolved - stored == set()
    assert LAST.id in stored


async def _publish_until_it_dies(publisher: RabbitPublisher, rabbitmq: RabbitMQ) -> list["asyncio.Future[None]"]:
    """Keep thousands in flight, and kill the broker meanwhile. Returns the futures of all."""
    futures: list[asyncio.Future[None]] = []

    def publish_another(confirmed: "asyncio.Future[None] | None" = None) -> None:
        if confirmed is None or confirmed.exception() is None:
            futures.append(publisher.publish(a_message(len(futures))))
            futures[-1].add_done_callback(publish_another)

    for _ in range(3000):
        publish_another()
    await futures[500]
    await asyncio.to_thread(rabbitmq.kill)
    await until(lambda: futures[-1].done() and futures[-1].exception() is not None)
    return futures


async def _publish_at_last(publisher: RabbitPublisher, message: Message) -> None:
    """Publish until it is confirmed, as the relay does."""
    async with asyncio.timeout(30):
        while True:
            await publisher.ready()
            with suppress(Disconnected, Unroutable):
                await publisher.publish(message)
                return


async def _everything_in(amqp_url: str) -> set[str]:
    """The ids in the queue, up to the last message."""
    found: set[str] = set()
    async with await aio_pika.connect(amqp_url) as connection, asyncio.timeout(20):
        channel = await connection.channel()
        async with (await channel.get_queue("all")).iterator(no_ack=True) as incoming:
            async for message in incoming:
                found.add(str(message.message_id))
                if message.message_id == LAST.id:
                    return found
    return found


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (replace(QUICK, confirm_timeout=timedelta(milliseconds=400)), "no confirm for 0.4 seconds"),
        (replace(QUICK, heartbeat=timedelta(seconds=1)), "nothing heard for 2 seconds"),
    ],
    ids=["confirm timeout", "heartbeats"],
)
async def test_a_hung_broker_is_noticed(
    amqp_url: str,
    channel: aio_pika.abc.AbstractChannel,
    rabbitmq: RabbitMQ,
    options: RabbitOptions,
    reason: str,
) -> None:
    """A broker that stands still loses its connection, and what is in flight fails with `Disconnected`."""
    await _declare(channel)
    async with connected(amqp_url, options) as publisher:
        rabbitmq.pause()
        future = publisher.publish(a_message())
        outcome = await outcomes_of([future])
        rabbitmq.resume()
        await asyncio.wait_for(publisher.ready(), 20)

    assert outcome == [Disconnected]
    assert str(future.exception()) == reason


async def test_publishes_wait_while_blocked(
    amqp_url: str, channel: aio_pika.abc.AbstractChannel, rabbitmq: RabbitMQ
) -> None:
    """Under a memory alarm messages and `ready` wait longer than a confirm may take, and keep their order."""
    queue = await _declare(channel)
    options = replace(QUICK, confirm_timeout=timedelta(milliseconds=300))
    with capture_logs() as logs:
        async with connected(amqp_url, options) as publisher:
            await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "0.0001")
            try:
                futures = [publisher.publish(a_message(1))]
                await until(lambda: bool(_named(logs, "publisher.blocked")))
                futures += [publisher.publish(a_message(number)) for number in range(2, 6)]
                ready = asyncio.create_task(publisher.ready())
                waited = await asyncio.wait([ready, *futures], timeout=1.0)
            finally:
                await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "absolute", "1GB")
            outcomes = await outcomes_of(futures)
            await asyncio.wait_for(ready, 20)
    arrived = [(await queue.get(no_ack=True)).message_id for _ in range(5)]

    assert waited[0] == set()
    assert outcomes == [None] * 5
    assert arrived == [a_message(number).id for number in range(1, 6)]
    assert len(_named(logs, "publisher.unblocked")) == 1
    assert _named(logs, "publisher.disconnected") == []


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("guest:guest", "guest:hunter2"), "403 ACCESS_REFUSED"),
        (("/test-", "/missing-"), "530 NOT_ALLOWED"),
    ],
    ids=["wrong password", "missing virtual host"],
)
async def test_a_refused_login_is_explained(amqp_url: str, change: tuple[str, str], reason: str) -> None:
    """The log says why, without the password, and attempts go on."""
    with capture_logs() as logs:
        async with RabbitPublisher(amqp_url.replace(*change), QUICK) as publisher:
            await until(lambda: len(_named(logs, "publisher.connection_failed")) > 1)
            failed = await outcomes_of([publisher.publish(a_message())])

    assert failed == [Disconnected]
    assert str(_named(logs, "publisher.connection_failed")[0]["reason"]).startswith(reason)
    assert "hunter2" not in str(logs)


async def test_a_missing_exchange_is_explained_until_it_is_there(amqp_url: str) -> None:
    """The log names the exchange and the command that makes it; once made, publishing begins."""
    with capture_logs() as logs:
        async with RabbitPublisher(amqp_url, QUICK) as publisher:
            await until(lambda: len(_named(logs, "publisher.exchange_missing")) > 1)
            async with await aio_pika.connect(amqp_url) as connection:
                await (await connection.channel()).declare_exchange("events", "topic", durable=True)
            await asyncio.wait_for(publisher.ready(), 20)
    explained = _named(logs, "publisher.exchange_missing")[0]

    assert (explained["exchange"], explained["log_level"]) == ("events", "error")
    assert "processor topology apply" in explained["remedy"]


async def test_an_exchange_deleted_later_is_explained(amqp_url: str, channel: aio_pika.abc.AbstractChannel) -> None:
    """Publishing to an exchange that has gone fails with `Disconnected` and the same explanation."""
    with capture_logs() as logs:
        async with connected(amqp_url) as publisher:
            await channel.exchange_delete("events")
            outcome = await outcomes_of([publisher.publish(a_message())])
            await until(lambda: bool(_named(logs, "publisher.exchange_missing")))

    assert outcome == [Disconnected]


async def test_a_cut_in_the_middle_of_a_frame(
    amqp_url: str, channel: aio_pika.abc.AbstractChannel, rabbitmq: RabbitMQ
) -> None:
    """Bodies torn apart by a cut fail with `Disconnected`; published again, each arrives whole."""
    queue = await _declare(channel)
    body = b"x" * 3_000_000
    async with Proxy(rabbitmq.amqp_port) as proxy:
        url = amqp_url.replace(f":{rabbitmq.amqp_port}/", f":{proxy.port}/")
        async with connected(url) as publisher:
            futures = [publisher.publish(a_message(number, body=body)) for number in range(4)]
            await asyncio.sleep(0)
            await proxy.cut()
            outcomes = await outcomes_of(futures)
            await proxy.restore()
            await asyncio.wait_for(publisher.ready(), 20)
            await asyncio.wait_for(publisher.publish(a_message(4, body=body)), 20)
    (arrived,) = [message async for message in _drain(queue)]

    assert outcomes == [Disconnected] * 4
    assert (arrived.message_id, arrived.body) == (a_message(4).id, body)


async def _drain(queue: aio_pika.abc.AbstractQueue) -> AsyncIterator[aio_pika.abc.AbstractIncomingMessage]:
    while message := await queue.get(no_ack=True, fail=False):
        yield message


async def test_hosts_are_tried_in_turn(amqp_url: str, channel: aio_pika.abc.AbstractChannel) -> None:
    """A host that refuses is passed over for the next one."""
    with capture_logs() as logs:
        async with connected(f"amqp://127.0.0.1:1/,{amqp_url}") as publisher:
            await outcomes_of([publisher.publish(a_message())])

    assert [entry["event"] for entry in logs][:2] == ["publisher.connection_failed", "publisher.connected"]


async def test_the_connection_says_who_it_is(
    amqp_url: str, channel: aio_pika.abc.AbstractChannel, rabbitmq: RabbitMQ
) -> None:
    """Operators see product and name in RabbitMQ's management."""
    async with connected(amqp_url, replace(QUICK, name="publisher of node 7")):
        shown = rabbitmq.ctl("list_connections", "client_properties")

    assert "xumm-webhook-processor" in shown
    assert "publisher of node 7" in shown


async def test_the_right_to_write_suffices(
    amqp_url: str, channel: aio_pika.abc.AbstractChannel, rabbitmq: RabbitMQ
) -> None:
    """A user who may write to the one exchange, and nothing else, can publish; single queues are out of reach."""
    queue = await _declare(channel)
    vhost = amqp_url.rpartition("/")[2]
    rabbitmq.api("PUT", f"users/writer-of-{vhost}", {"password": "secret", "tags": ""})
    only_write = {"configure": "", "write": "^events$", "read": ""}
    rabbitmq.api("PUT", f"permissions/{vhost}/writer-of-{vhost}", only_write)

    async with connected(amqp_url.replace("guest:guest", f"writer-of-{vhost}:secret")) as publisher:
        outcomes = await outcomes_of([publisher.publish(a_message()), publisher.publish(a_message(2), "all")])
    rabbitmq.api("DELETE", f"users/writer-of-{vhost}")

    assert outcomes == [None, Unpermitted]
    assert (await queue.get(no_ack=True)).message_id == a_message().id


async def test_a_silent_queue_holds_up_no_other(
    amqp_url: str, channel: aio_pika.abc.AbstractChannel, rabbitmq: RabbitMQ
) -> None:
    """With more for a silent queue than the broker reads, all is given up soon, and what is for others is confirmed."""
    silent = await channel.declare_queue("silent", durable=True, arguments={"x-queue-type": "quorum"})
    await silent.bind("events", "*.resolve.*")
    await _declare(channel, "*.sign.*")
    with capture_logs() as logs:
        async with connected(amqp_url, replace(QUICK, patience=timedelta(seconds=1))) as publisher:
            await publisher.publish(a_message(routing_key="shop.resolve.signed"))
            await asyncio.to_thread(rabbitmq.silence, amqp_url, "silent")
            try:
                given_up = await outcomes_of(
                    [publisher.publish(a_message(number, routing_key="shop.resolve.signed")) for number in range(1000)]
                )
                others = await outcomes_of([publisher.publish(a_message(number)) for number in range(1000)])
            finally:
                await asyncio.to_thread(rabbitmq.unsilence, amqp_url, "silent")

    assert given_up == [Unanswered] * 1000
    assert others == [None] * 1000
    assert _named(logs, "publisher.disconnected") == []
