"""What the relay does with events that are not confirmed at once, against a publisher that obeys the test."""

import asyncio
from asyncio import Future
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Final

import pytest
from structlog.testing import capture_logs

from processor.broker.port import (
    Disconnected,
    Nacked,
    PublishError,
    Unanswered,
    Unpermitted,
    Unroutable,
    Unsendable,
)
from processor.relay.relay import Relay, RelayLimits
from tests.broker.outcomes import until
from tests.support.relaying import KnownQueues, MemoryOutbox, ObedientPublisher

QUICK: Final = RelayLimits(
    window=50, page=7, mark_every=timedelta(milliseconds=1), poll_every=timedelta(milliseconds=5)
)
KNOWN: Final = KnownQueues({"full": ("#",), "sound": ("#",)})
NOW: Final = datetime(2026, 11, 28, tzinfo=UTC)


@asynccontextmanager
async def running(
    outbox: MemoryOutbox, publisher: ObedientPublisher, queues: KnownQueues = KNOWN
) -> AsyncIterator[Relay]:
    relay = Relay(outbox, publisher, queues=queues, clock=lambda: NOW, limits=QUICK)
    task = asyncio.create_task(relay.run())
    try:
        await until(lambda: outbox.shared or relay.live)
        yield relay
    finally:
        task.cancel()
        await asyncio.wait([task])


def refusing(queue: str, error: Callable[[], PublishError] = lambda: Nacked("full")) -> ObedientPublisher:
    """A publisher of which one queue refuses everything, and therefore the exchange too."""
    publisher = ObedientPublisher()
    publisher.verdict = lambda message: error()
    publisher.judge = lambda name, message: error() if name == queue else None
    return publisher


def accept(publisher: ObedientPublisher) -> None:
    """Have every queue take everything."""
    publisher.verdict = lambda message: None
    publisher.judge = lambda queue, message: None


def handed(publisher: ObedientPublisher, queue: str) -> list[str]:
    """What was handed to one queue, in order."""
    return [event for name, event in publisher.attempts if name == queue]


def unanswered() -> Unanswered:
    return Unanswered("no answer", asyncio.get_running_loop().create_future())


@pytest.mark.parametrize("error", [lambda: Nacked("full"), unanswered], ids=["refused", "unanswered"])
async def test_one_queue_delays_no_other(error: Callable[[], PublishError]) -> None:
    """While one queue takes nothing, another gets each event once and in sequence, and nothing counts as published."""
    outbox, publisher = MemoryOutbox(), refusing("full", error)

    async with running(outbox, publisher) as relay:
        relay.observe(outbox.commit("a", "b", "a", "a", "b"))
        await until(lambda: len(handed(publisher, "sound")) == 5)
        refused, live = relay.refused, relay.live

    assert ["event-1", "event-3", "event-4"] == [each for each in handed(publisher, "sound") if each[-1] in "134"]
    assert [("full", 5, NOW)] == [(each.queue, each.events, each.since) for each in refused]
    assert (live, outbox.left) == (False, 5)


async def test_what_was_refused_is_taken_in_sequence() -> None:
    """Once the queue takes events again it gets what it is owed in order, the exchange confirms it, and that is all."""
    outbox, publisher = MemoryOutbox(), refusing("full")

    async with running(outbox, publisher) as relay:
        relay.observe(outbox.commit(*"abc" * 4))
        await until(lambda: len(handed(publisher, "sound")) == 12)
        publisher.attempts.clear()
        accept(publisher)
        await until(lambda: relay.live and outbox.left == 0)
        again = list(publisher.attempts)

    assert [f"event-{number}" for number in range(1, 13)] == [event for name, event in again if name == "full"]
    assert {(None, f"event-{number}"): 1 for number in range(1, 13)} == Counter(one for one in again if one[0] is None)
    assert relay.refused == ()


async def test_thousands_may_be_owed() -> None:
    """More than a window of refused events hold nothing up, and all are published when the queue takes them."""
    outbox, publisher = MemoryOutbox(), refusing("full")

    async with running(outbox, publisher) as relay:
        for number in range(300):
            relay.observe(outbox.commit(*(f"payload {number} {each}" for each in range(10))))
            await asyncio.sleep(0)
        await until(lambda: len(set(handed(publisher, "sound"))) == 3000)
        owed = [each.events for each in relay.refused]
        accept(publisher)
        await until(lambda: relay.live and outbox.left == 0)

    assert owed == [3000]
    assert max(Counter(event for name, event in publisher.attempts if name is None).values()) <= 2


async def test_a_silent_queue_has_later_events_pass_by_the_exchange() -> None:
    """While a queue gives no answer, the exchange is not asked to hand it more: others would wait there with it."""
    outbox, publisher = MemoryOutbox(), refusing("full", unanswered)

    async with running(outbox, publisher) as relay:
        relay.observe(outbox.commit("a"))
        await until(lambda: len(relay.refused) == 1)
        publisher.attempts.clear()
        relay.observe(outbox.commit(*"bcde"))
        await until(lambda: len(handed(publisher, "sound")) == 4)

    assert [] == [event for name, event in publisher.attempts if name is None]


async def test_a_late_confirm_counts() -> None:
    """What the broker confirms after it was given up is published, and is not repeated."""
    outbox, publisher = MemoryOutbox(), ObedientPublisher()
    late: Future[None] = asyncio.get_running_loop().create_future()
    publisher.verdict = lambda message: Unanswered("no answer", late)
    publisher.judge = lambda queue, message: unanswered()

    async with running(outbox, publisher) as relay:
        relay.observe(outbox.commit("a"))
        await until(lambda: len(relay.refused) == 2)
        late.set_result(None)
        await until(lambda: relay.live and outbox.left == 0)

    assert [(None, "event-1")] == [one for one in publisher.attempts if one[0] is None]


async def test_where_no_queue_is_known_the_exchange_is_tried_rarely() -> None:
    """Later events go out once each, and what was refused is tried two at a time, at growing intervals."""
    outbox, publisher = MemoryOutbox(), refusing("full")

    async with running(outbox, publisher, KnownQueues()) as relay:
        relay.observe(outbox.commit(*"abcde" * 4))
        await until(lambda: len(publisher.attempts) >= 22)
        relay.observe(outbox.commit(*"abcde" * 4))
        await until(lambda: len(relay.refused) == 1 and relay.refused[0].events == 40)
        tried = Counter(event for _, event in publisher.attempts)
        accept(publisher)
        await until(lambda: relay.live and outbox.left == 0)

    assert {f"event-{number}" for number in range(1, 41)} == set(tried)
    assert max(tried.values()) <= 3
    assert sum(tried.values()) <= 44


async def test_a_right_that_is_missing_is_told_once() -> None:
    """Without the right to publish to single queues, the exchange is tried again; the log says which right it takes."""
    outbox, publisher = MemoryOutbox(), refusing("full")
    publisher.judge = lambda queue, message: Unpermitted("403 ACCESS_REFUSED")

    with capture_logs() as logs:
        async with running(outbox, publisher) as relay:
            relay.observe(outbox.commit(*"abc"))
            await until(lambda: any(entry["event"] == "outbox.queue_access_denied" for entry in logs))
            accept(publisher)
            await until(lambda: relay.live and outbox.left == 0)

    assert 1 == sum(entry["event"] == "outbox.queue_access_denied" for entry in logs)


async def test_a_queue_that_is_not_there_is_owed_nothing() -> None:
    """A queue of the settings that the broker does not know stands in nobody's way."""
    outbox, publisher = MemoryOutbox(), ObedientPublisher()
    answers = [Nacked("full")]
    publisher.verdict = lambda message: answers.pop() if answers else None
    publisher.judge = lambda queue, message: Unroutable("no such queue") if queue == "full" else None

    async with running(outbox, publisher) as relay:
        relay.observe(outbox.commit("a"))
        await until(lambda: relay.live and outbox.left == 0)

    assert ["event-1"] == handed(publisher, "full")


async def test_what_cannot_be_sent_holds_nothing_up() -> None:
    """An event that AMQP has no form for stays in the outbox; those before and after it go out."""
    outbox, publisher = MemoryOutbox(), ObedientPublisher()
    publisher.verdict = lambda message: Unsendable("too long") if message.id == "event-2" else None

    async with running(outbox, publisher) as relay:
        relay.observe(outbox.commit("a", "a", "a"))
        await until(lambda: outbox.left == 1)

    assert ["event-1", "event-3"] == publisher.arrived["a"]
    assert [] == handed(publisher, "sound")


async def test_a_connection_lost_meanwhile_leaves_it_to_the_table() -> None:
    """An event whose queues could not answer before the connection broke is read and published again, in sequence."""
    outbox, publisher = MemoryOutbox(), refusing("full")
    publisher.judge = lambda queue, message: Disconnected("cut")

    async with running(outbox, publisher) as relay:
        relay.observe(outbox.commit("a", "a"))
        await until(lambda: not relay.live)
        accept(publisher)
        await until(lambda: relay.live and outbox.left == 0)

    assert ["event-1", "event-2"] == publisher.arrived["a"]


async def test_what_is_owed_is_not_published_with_what_was_lost() -> None:
    """Reading the table after a lost connection leaves out the events that wait for a queue."""
    outbox, publisher = MemoryOutbox(), refusing("full")
    publisher.verdict = lambda message: Disconnected("cut") if message.id == "event-1" else Nacked("full")

    async with running(outbox, publisher) as relay:
        relay.observe(outbox.commit("a", "b"))
        await until(lambda: publisher.attempts.count((None, "event-1")) > 1)
        publisher.verdict = lambda message: None if message.id == "event-1" else Nacked("full")
        await until(lambda: outbox.left == 1)
        tried = publisher.attempts.count((None, "event-2"))

    assert tried == 1


async def test_a_shared_outbox_is_read_past_what_is_refused() -> None:
    """Rows that a queue refuses are not published at each pass, and the rows behind them are reached."""
    outbox, publisher = MemoryOutbox(shared=True), ObedientPublisher()
    publisher.verdict = lambda message: Nacked("full") if message.payload == "a" else None
    publisher.judge = lambda queue, message: Nacked("full") if queue == "full" else None

    async with running(outbox, publisher):
        outbox.commit(*"a" * 30, "b")
        await until(lambda: outbox.left == 30)
        reads = outbox.reads
        await until(lambda: outbox.reads > reads + 20)
        tried = Counter(event for name, event in publisher.attempts if name != "full")

    assert max(tried.values()) <= 2


async def test_who_loses_the_lead_owes_nothing() -> None:
    """What was refused is the next leader's; who leads again reads it from the table."""
    outbox, publisher = MemoryOutbox(shared=True), refusing("full")

    async with running(outbox, publisher) as relay:
        outbox.commit("a")
        await until(lambda: len(relay.refused) == 1)
        outbox.leader = False
        await until(lambda: relay.refused == ())
        accept(publisher)
        outbox.leader = True
        await until(lambda: outbox.left == 0)

    assert ["event-1"] == publisher.arrived["a"]


async def test_draining_does_not_wait_for_a_queue() -> None:
    """Stopping ends although events are refused; they stay in the outbox."""
    outbox, publisher = MemoryOutbox(), refusing("full")

    async with running(outbox, publisher) as relay:
        relay.observe(outbox.commit(*"abc"))
        async with asyncio.timeout(10):
            await relay.drain()

    assert outbox.left == 3


async def test_it_is_told_once_for_each_queue() -> None:
    """However many events are refused, the log names each queue once a minute, and says when it takes events again."""
    outbox, publisher = MemoryOutbox(), refusing("full")

    with capture_logs() as logs:
        async with running(outbox, publisher) as relay:
            for _ in range(20):
                relay.observe(outbox.commit(*"abcdefgh"))
                await asyncio.sleep(0)
            await until(lambda: any(entry["event"] == "outbox.publish_failed" for entry in logs))
            accept(publisher)
            await until(lambda: relay.live and any(entry["event"] == "outbox.recovered" for entry in logs))

    told = [(entry["event"], entry["queue"]) for entry in logs if "queue" in entry]
    assert [("outbox.publish_failed", "full"), ("outbox.recovered", "full")] == told


async def test_a_store_that_cannot_be_read_is_tried_again() -> None:
    """While the outbox cannot be read, what is owed waits for it."""
    outbox, publisher = MemoryOutbox(), refusing("full")

    async with running(outbox, publisher) as relay:
        relay.observe(outbox.commit("a"))
        await until(lambda: len(relay.refused) == 1)
        outbox.broken = True
        accept(publisher)
        with capture_logs() as logs:
            await until(lambda: any(entry["event"] == "outbox.read_failed" for entry in logs))
        outbox.broken = False
        await until(lambda: relay.live and outbox.left == 0)

    assert ["event-1"] == publisher.arrived["a"]


async def test_the_broker_says_which_queues_there_are() -> None:
    """A queue that the settings do not name, but the broker does, is delayed by no other."""
    outbox, publisher = MemoryOutbox(), refusing("full", unanswered)
    queues = KnownQueues({}, {"full": ("#",), "strange": ("#",)})

    async with running(outbox, publisher, queues) as relay:
        relay.observe(outbox.commit(*"abc"))
        await until(lambda: len(set(handed(publisher, "strange"))) == 3)

    assert outbox.left == 3


async def test_who_does_not_say_which_queues_there_are_is_asked_in_vain() -> None:
    """Without an answer the queues of the settings count, and the log says so."""
    outbox, publisher = MemoryOutbox(), refusing("full")

    with capture_logs() as logs:
        async with running(outbox, publisher) as relay:
            relay.observe(outbox.commit("a"))
            await until(lambda: handed(publisher, "sound") == ["event-1"])

    assert ["nobody says"] == [entry["error"] for entry in logs if entry["event"] == "outbox.queues_unknown"]
