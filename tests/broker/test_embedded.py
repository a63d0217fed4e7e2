"""What only the publisher inside the process does."""

import asyncio

import pytest
from structlog.testing import capture_logs

from processor.broker.embedded import EmbeddedPublisher
from processor.broker.port import Nacked
from processor.core.publishing.message import Message
from tests.broker.messages import a_message
from tests.broker.outcomes import outcomes_of, until


async def _ignore(message: Message) -> None:
    return


async def test_a_consumer_that_raises_fails_the_publish() -> None:
    """The future fails with `Nacked` and names the queue; other queues got the message, and the next one goes on."""
    got: list[Message] = []

    async def raise_at_first(message: Message) -> None:
        if message == a_message(1):
            raise LookupError

    async def keep(message: Message) -> None:
        got.append(message)

    with capture_logs() as logs:
        async with EmbeddedPublisher() as publisher:
            publisher.subscribe("frail", ["#"], raise_at_first)
            publisher.subscribe("sound", ["#"], keep)
            failed = publisher.publish(a_message(1))
            outcomes = await outcomes_of([failed, publisher.publish(a_message(2))])

    assert outcomes == [Nacked, None]
    assert str(failed.exception()) == "not settled by frail"
    assert got == [a_message(1), a_message(2)]
    assert [(entry["event"], entry["queue"]) for entry in logs] == [("publisher.delivery_failed", "frail")]


async def test_a_publish_resolves_when_its_consumers_have_settled() -> None:
    """Nothing resolves before the consumer returns; payloads do not wait for each other."""
    release = asyncio.Event()

    async def hold_the_first(message: Message) -> None:
        if message.payload == "slow":
            await release.wait()

    async with EmbeddedPublisher() as publisher:
        publisher.subscribe("all", ["#"], hold_the_first)
        slow = [publisher.publish(a_message(number, payload="slow")) for number in (1, 2)]
        quick = publisher.publish(a_message(3, payload="quick"))
        await outcomes_of([quick])
        before = [future.done() for future in slow]
        release.set()
        after = await outcomes_of(slow)

    assert (before, after) == ([False, False], [None, None])


async def test_concurrency_is_bounded() -> None:
    """No more messages are with consumers at once than allowed."""
    release = asyncio.Event()
    at_once: list[int] = []
    busy = 0

    async def work(message: Message) -> None:
        nonlocal busy
        busy += 1
        at_once.append(busy)
        await release.wait()
        busy -= 1

    async with EmbeddedPublisher(concurrency=3) as publisher:
        publisher.subscribe("all", ["#"], work)
        futures = [publisher.publish(a_message(number, payload=f"payload {number}")) for number in range(20)]
        await until(lambda: busy == 3)
        release.set()
        await outcomes_of(futures)

    assert max(at_once) == 3


async def test_the_latest_unrouted_messages_are_kept() -> None:
    """What no queue is bound for is kept up to a limit; the oldest go."""
    async with EmbeddedPublisher(unrouted_kept=2) as publisher:
        publisher.subscribe("some", ["other.#"], _ignore)
        await outcomes_of([publisher.publish(a_message(number)) for number in range(4)])

    assert list(publisher.unrouted) == [a_message(2), a_message(3)]


async def test_a_queue_has_one_consumer() -> None:
    """Subscribing a queue twice is a mistake."""
    publisher = EmbeddedPublisher()
    publisher.subscribe("all", ["#"], _ignore)

    with pytest.raises(ValueError, match=r"^queue all has a consumer already$"):
        publisher.subscribe("all", ["#"], _ignore)


async def test_closing_cancels_consumers() -> None:
    """A consumer that is at work is cancelled, and nothing is left running."""
    cancelled = asyncio.Event()
    started = asyncio.Event()

    async def work(message: Message) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with EmbeddedPublisher() as publisher:
        publisher.subscribe("all", ["#"], work)
        future = publisher.publish(a_message())
        await started.wait()

    assert cancelled.is_set()
    assert future.exception() is not None
    assert publisher._tasks == set()
