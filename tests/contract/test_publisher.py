"""What every publisher must do, whichever broker is behind it."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Protocol

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from processor.broker.embedded import EmbeddedPublisher
from processor.broker.options import RabbitOptions
from processor.broker.port import IN_ORDER, Disconnected, Nacked, Publisher, Unanswered, Unroutable
from processor.broker.rabbitmq import RabbitPublisher
from processor.core.publishing.message import Message
from schemas.topology import HEADER_TRACEPARENT
from tests.broker.messages import a_message
from tests.broker.outcomes import outcomes_of
from tests.servers.rabbitmq import RabbitMQ

PATIENCE = timedelta(seconds=1)
ADAPTERS = ("embedded", pytest.param("rabbitmq", marks=pytest.mark.rabbitmq))


class Broker(Protocol):
    """A publisher, and the other end of it."""

    publisher: Publisher

    async def bind(self, queue: str, *bindings: str) -> None: ...

    async def received(self, queue: str, count: int) -> list[Message]: ...

    async def unrouted(self) -> list[Message]: ...

    async def rebuild(self) -> None:
        """Have a publisher to a direct exchange that has no alternate."""
        ...

    async def block(self) -> None:
        """Keep what is published from now on from being confirmed."""
        ...

    async def bind_full(self, queue: str) -> None:
        """A queue that gets everything and takes nothing."""
        ...

    async def bind_silent(self, queue: str) -> None:
        """A queue that gets everything and says neither yes nor no, until `end_silence`."""
        ...

    async def end_silence(self) -> None: ...


class EmbeddedBroker:
    def __init__(self, publisher: EmbeddedPublisher) -> None:
        self.publisher = publisher
        self._received: dict[str, list[Message]] = defaultdict(list)
        self._going = asyncio.Event()
        self._going.set()
        self._speaking = asyncio.Event()

    async def bind(self, queue: str, *bindings: str) -> None:
        async def deliver(message: Message) -> None:
            await self._going.wait()
            self._received[queue].append(message)

        self.publisher.subscribe(queue, bindings, deliver)

    async def received(self, queue: str, count: int) -> list[Message]:
        return self._received[queue]

    async def unrouted(self) -> list[Message]:
        return list(self.publisher.unrouted)

    async def rebuild(self) -> None:
        await self.publisher.__aexit__(None, None, None)
        self.publisher = EmbeddedPublisher(unrouted_kept=0)
        await self.publisher.__aenter__()

    async def block(self) -> None:
        self._going.clear()

    async def bind_full(self, queue: str) -> None:
        async def refuse(message: Message) -> None:
            raise OverflowError

        self.publisher.subscribe(queue, ["#"], refuse)

    async def bind_silent(self, queue: str) -> None:
        async def wait(message: Message) -> None:
            await self._speaking.wait()

        self.publisher.subscribe(queue, ["#"], wait)

    async def end_silence(self) -> None:
        self._speaking.set()


class RealBroker:
    EXCHANGE = "contract.events"
    DIRECT = "contract.commands"

    def __init__(self, publisher: RabbitPublisher, channel: AbstractChannel, server: RabbitMQ, url: str) -> None:
        self.publisher = publisher
        self._url = url
        self._exchange = self.EXCHANGE
        self._channel = channel
        self._server = server
        self._silent: list[str] = []

    async def bind(self, queue: str, *bindings: str) -> None:
        declared = await self._channel.declare_queue(queue, durable=True)
        for binding in bindings:
            await declared.bind(self._exchange, binding)

    async def received(self, queue: str, count: int) -> list[Message]:
        declared = await self._channel.get_queue(queue)
        async with asyncio.timeout(20), declared.iterator(no_ack=True) as incoming:
            messages = []
            while len(messages) < count:
                messages.append(_message(await anext(incoming)))
        return messages

    async def unrouted(self) -> list[Message]:
        return await self.received("contract.unrouted", 1)

    async def rebuild(self) -> None:
        await self.publisher.__aexit__(None, None, None)
        self._exchange = self.DIRECT
        await self._channel.declare_exchange(self.DIRECT, "direct", durable=True)
        self.publisher = RabbitPublisher(self._url, RabbitOptions(exchange=self.DIRECT))
        await self.publisher.__aenter__()
        await asyncio.wait_for(self.publisher.ready(), 10)

    async def block(self) -> None:
        self._server.pause()

    async def bind_full(self, queue: str) -> None:
        arguments = {"x-max-length": 1, "x-overflow": "reject-publish"}
        await self._channel.declare_queue(queue, durable=True, arguments=arguments)
        await self._channel.default_exchange.publish(aio_pika.Message(b""), queue)
        await (await self._channel.get_queue(queue)).bind(self._exchange, "#")

    async def bind_silent(self, queue: str) -> None:
        declared = await self._channel.declare_queue(queue, durable=True, arguments={"x-queue-type": "quorum"})
        await declared.bind(self._exchange, "#")
        await asyncio.to_thread(self._server.silence, self._url, queue)
        self._silent.append(queue)

    async def end_silence(self) -> None:
        while self._silent:
            await asyncio.to_thread(self._server.unsilence, self._url, self._silent.pop())


def _message(incoming: AbstractIncomingMessage) -> Message:
    traceparent = incoming.headers.get(HEADER_TRACEPARENT)
    return Message(
        id=str(incoming.message_id),
        type=str(incoming.type),
        app=str(incoming.app_id),
        payload=str(incoming.correlation_id),
        routing_key=str(incoming.routing_key),
        body=incoming.body,
        at=int(incoming.timestamp.timestamp()) if incoming.timestamp else 0,
        traceparent=None if traceparent is None else str(traceparent),
    )


@asynccontextmanager
async def _embedded(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    async with EmbeddedPublisher(patience=PATIENCE) as publisher:
        yield EmbeddedBroker(publisher)


@asynccontextmanager
async def _rabbitmq(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    url = request.getfixturevalue("amqp_url")
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(await aio_pika.connect(url))
        channel = await connection.channel()
        aside = await channel.declare_exchange("contract.unrouted", "fanout")
        await (await channel.declare_queue("contract.unrouted")).bind(aside)
        await channel.declare_exchange(
            RealBroker.EXCHANGE, "topic", durable=True, arguments={"alternate-exchange": aside.name}
        )
        options = RabbitOptions(exchange=RealBroker.EXCHANGE, patience=PATIENCE)
        publisher = await stack.enter_async_context(RabbitPublisher(url, options))
        await asyncio.wait_for(publisher.ready(), 10)
        server = request.getfixturevalue("rabbitmq")
        stack.callback(server.resume)
        broker = RealBroker(publisher, channel, server, url)
        stack.push_async_callback(broker.end_silence)
        yield broker
        if broker.publisher is not publisher:
            await broker.publisher.__aexit__(None, None, None)


@pytest.fixture(params=ADAPTERS)
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    async with {"embedded": _embedded, "rabbitmq": _rabbitmq}[request.param](request) as broker:
        yield broker


async def _publish(broker: Broker, *messages: Message) -> None:
    async with asyncio.timeout(20):
        await asyncio.gather(*map(broker.publisher.publish, messages))


async def test_everything_a_message_says_arrives(broker: Broker) -> None:
    """Body, properties, routing key and trace context arrive as they were handed over."""
    traced = a_message(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
    plain = a_message(2)
    await broker.bind("all", "#")

    await _publish(broker, traced, plain)

    assert await broker.received("all", 2) == [traced, plain]


@pytest.mark.parametrize(
    "body",
    [b"", '{"note":"Hey ❤️"}'.encode(), b"\xce" * 70_000, bytes(range(256)) * 800],
    ids=["empty", "unicode", "above 64 KiB", "several frames"],
)
async def test_any_body_arrives(broker: Broker, body: bytes) -> None:
    """Bodies arrive byte by byte, be they empty, binary, or longer than an AMQP frame."""
    await broker.bind("all", "#")

    await _publish(broker, a_message(body=body))

    assert [message.body for message in await broker.received("all", 1)] == [body]


async def test_text_beyond_ascii_arrives(broker: Broker) -> None:
    """Properties and routing keys are Unicode."""
    message = a_message(app="café", type="xumm.señal.❤", routing_key="café.señal.❤")
    await broker.bind("all", "café.*.❤")

    await _publish(broker, message)

    assert await broker.received("all", 1) == [message]


async def test_messages_of_a_payload_stay_in_order(broker: Broker) -> None:
    """Of as many in flight as keep their order, those of one payload arrive in the order of the calls."""
    messages = [a_message(number, payload=f"payload {number % 7}") for number in range(IN_ORDER)]
    await broker.bind("all", "#")

    await _publish(broker, *messages)
    by_payload: dict[str, list[str]] = defaultdict(list)
    for message in await broker.received("all", len(messages)):
        by_payload[message.payload].append(message.id)

    assert by_payload == {f"payload {rest}": [message.id for message in messages[rest::7]] for rest in range(7)}


@pytest.mark.parametrize(
    ("binding", "routing_key", "arrives"),
    [
        ("*.sign.#", "shop.sign.opened", True),
        ("*.sign.#", "shop.sign", True),
        ("*.sign.#", "shop.resolve.signed", False),
        ("shop.*", "shop.sign.opened", False),
        ("shop.*", "shop", False),
        ("#.opened", "opened", True),
        ("#.sign.#.opened", "a.b.sign.c.opened", True),
        ("#.#", "", True),
        ("*", "", False),
        ("*.*", "shop.", True),
    ],
)
async def test_bindings_are_topics(broker: Broker, binding: str, routing_key: str, arrives: bool) -> None:  # noqa: FBT001
    """``*`` stands for one word, ``#`` for any number; what no queue is bound for is put aside."""
    message = a_message(routing_key=routing_key)
    await broker.bind("some", binding)

    await _publish(broker, message)
    found = await broker.received("some", 1) if arrives else await broker.unrouted()

    assert found == [message]


async def test_every_queue_gets_a_message_once(broker: Broker) -> None:
    """Two queues both get it, and neither gets it twice for matching two bindings."""
    last = a_message(2)
    await broker.bind("first", "#", "shop.#")
    await broker.bind("second", "*.sign.*")

    await _publish(broker, a_message(), last)

    assert await broker.received("first", 2) == await broker.received("second", 2) == [a_message(), last]


async def test_without_an_alternate_exchange_nothing_is_put_aside(broker: Broker) -> None:
    """Commands go to a direct exchange: what no queue is bound for fails, the rest arrives."""
    await broker.rebuild()
    await broker.bind("devices", "devices")
    bound, unbound = a_message(routing_key="devices"), a_message(2, routing_key="elsewhere")

    await _publish(broker, bound)
    with pytest.raises(Unroutable):
        await _publish(broker, unbound)

    assert await broker.received("devices", 1) == [bound]


async def test_closing_fails_what_is_in_flight(broker: Broker) -> None:
    """A publish that nobody has confirmed fails with `Disconnected` when the publisher closes."""
    await broker.bind("all", "#")
    await broker.block()
    futures = [broker.publisher.publish(a_message(number)) for number in range(3)]

    await broker.publisher.__aexit__(None, None, None)

    assert [type(future.exception()) for future in futures] == [Disconnected] * 3


async def test_a_closed_publisher_takes_nothing(broker: Broker) -> None:
    """Publishing after closing fails at once, by the future and not by raising."""
    await broker.publisher.__aexit__(None, None, None)

    assert type(broker.publisher.publish(a_message()).exception()) is Disconnected


async def test_a_caller_may_give_up(broker: Broker) -> None:
    """A cancelled future disturbs neither the publisher nor the messages after it."""
    await broker.bind("all", "#")
    broker.publisher.publish(a_message()).cancel()

    await _publish(broker, a_message(2))

    assert [message.id for message in await broker.received("all", 2)] == [a_message().id, a_message(2).id]


async def test_a_message_may_be_for_one_queue(broker: Broker) -> None:
    """Handed to one queue, it reaches no other; a queue that is not there is told."""
    last = a_message(2)
    await broker.bind("first", "#")
    await broker.bind("second", "#")

    outcomes = await outcomes_of([broker.publisher.publish(a_message(), queue) for queue in ("first", "nowhere")])
    await _publish(broker, last)

    assert outcomes == [None, Unroutable]
    assert [message.id for message in await broker.received("first", 2)] == [a_message().id, last.id]
    assert await broker.received("second", 1) == [last]


async def test_one_queue_refuses_for_itself(broker: Broker) -> None:
    """A message that one queue refuses fails with `Nacked`; the other queues have it, or can be handed it."""
    await broker.bind("sound", "#")
    await broker.bind_full("full")

    outcomes = await outcomes_of([broker.publisher.publish(a_message(), queue) for queue in (None, "full", "sound")])

    assert outcomes == [Nacked, Nacked, None]
    assert [message.id for message in await broker.received("sound", 2)] == [a_message().id] * 2


async def test_one_queue_is_silent_for_itself(broker: Broker) -> None:
    """A message that a queue gives no answer for fails with `Unanswered`; others go on, and a late confirm is heard."""
    await broker.bind("sound", "#")
    await broker.bind_silent("silent")

    silent = broker.publisher.publish(a_message(payload="silent"), "silent")
    outcomes = await outcomes_of([silent, broker.publisher.publish(a_message(2), "sound")])
    error = silent.exception()
    await broker.end_silence()
    assert isinstance(error, Unanswered)
    await asyncio.wait_for(error.late, 20)

    assert outcomes == [Unanswered, None]
    assert [message.id for message in await broker.received("sound", 1)] == [a_message(2).id]
