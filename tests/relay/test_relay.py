"""The relay against an outbox in memory and a publisher that obeys the test."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from processor.broker.port import Disconnected
from processor.core.payload.entry import Commit
from processor.core.publishing.message import OutboxMessage
from processor.relay.relay import Relay, RelayLimits
from tests.support.relaying import KnownQueues, MemoryOutbox, ObedientPublisher

QUICK = RelayLimits(window=50, page=7, mark_every=timedelta(milliseconds=1), poll_every=timedelta(milliseconds=5))


@asynccontextmanager
async def running(outbox: MemoryOutbox, publisher: ObedientPublisher) -> AsyncIterator[Relay]:
    relay = Relay(outbox, publisher, queues=KnownQueues(), clock=lambda: datetime.now(UTC), limits=QUICK)
    task = asyncio.create_task(relay.run())
    try:
        yield relay
    finally:
        task.cancel()
        await asyncio.wait([task])


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  the condition is somebody else's
            await asyncio.sleep(0.001)


class BusyOutbox(MemoryOutbox):
    """Another event is committed and offered while a page is read, and one just before."""

    observe: Callable[[Commit], None]

    async def unpublished(self, *, after: int, limit: int) -> Sequence[OutboxMessage]:
        self.observe(self.commit("a"))
        page = await super().read(after=after, limit=limit)
        self.observe(self.commit("a"))
        await asyncio.sleep(0)
        return page


async def test_it_goes_live_while_webhooks_never_cease() -> None:
    """There need be no pause in what is committed for the table to be left, and nothing is lost or overtaken then."""
    outbox, publisher = BusyOutbox(), ObedientPublisher()
    outbox.commit(*"abcab" * 5)

    async with running(outbox, publisher) as relay:
        outbox.observe = relay.observe
        await until(lambda: relay.live and outbox.left == 0)

    expected = [row.message.id for row in outbox.rows.values() if row.message.payload == "a"]
    assert expected == publisher.arrived["a"]


async def test_what_was_left_is_published_at_start() -> None:
    """Events of an earlier life go out first, in their order, and then the relay is live."""
    outbox, publisher = MemoryOutbox(), ObedientPublisher()
    outbox.commit("a", "b", "a", "c", "a", "b", "d", "e", "f", "a")

    async with running(outbox, publisher) as relay:
        await until(lambda: relay.live and outbox.left == 0)

    assert ["event-1", "event-3", "event-5", "event-10"] == publisher.arrived["a"]
    assert sum(map(len, publisher.arrived.values())) == 10


async def test_live_events_are_not_read_back() -> None:
    """While all is well an event goes from its commit to the broker without another look at the table."""
    outbox, publisher = MemoryOutbox(), ObedientPublisher()

    async with running(outbox, publisher) as relay:
        await until(lambda: relay.live)
        reads = outbox.reads
        relay.observe(outbox.commit("a", "b", "a"))
        await until(lambda: outbox.left == 0)

    assert reads == outbox.reads
    assert ["event-1", "event-3"] == publisher.arrived["a"]


async def test_one_message_of_a_payload_in_flight() -> None:
    """A second event of a payload waits for the answer to the first; other payloads do not."""
    outbox, publisher = MemoryOutbox(), ObedientPublisher()

    async with running(outbox, publisher) as relay:
        await until(lambda: relay.live)
        publisher.holding = True
        relay.observe(outbox.commit("a", "a", "b"))
        held = [message.id for message, _ in publisher.held]
        publisher.release()
        await until(lambda: outbox.left == 0)

    assert ["event-1", "event-3"] == held
    assert ["event-1", "event-2"] == publisher.arrived["a"]


async def test_broken_connection_loses_and_reorders_nothing() -> None:
    """What was in flight when the connection broke goes out again, before what was committed later."""
    outbox, publisher = MemoryOutbox(), ObedientPublisher()
    down = [True]
    publisher.verdict = lambda _: Disconnected("cut") if down[0] else None

    async with running(outbox, publisher) as relay:
        await until(lambda: relay.live)
        relay.observe(outbox.commit("a", "b"))
        await until(lambda: not relay.live)
        relay.observe(outbox.commit("a", "c"))
        down[0] = False
        await until(lambda: relay.live and outbox.left == 0)

    assert ["event-1", "event-3"] == publisher.arrived["a"]
    assert ["event-4"] == publisher.arrived["c"]


async def test_overload_falls_back_to_the_table() -> None:
    """More than the window at once is not kept in memory; it is read back, and nothing is lost or doubled."""
    outbox, publisher = MemoryOutbox(), ObedientPublisher()

    async with running(outbox, publisher) as relay:
        await until(lambda: relay.live)
        publisher.holding = True
        for _ in range(4):
            relay.observe(outbox.commit(*(f"p{number}" for number in range(20))))
        was_live, held = relay.live, len(publisher.held)
        publisher.release()
        await until(lambda: relay.live and outbox.left == 0)

    assert not was_live
    assert held <= QUICK.window
    assert all(len(ids) == len(set(ids)) == 4 for ids in publisher.arrived.values())


async def test_commits_while_catching_up_are_not_missed() -> None:
    """An event committed during the last look at the table is found by another look."""
    outbox, publisher = MemoryOutbox(), ObedientPublisher()
    outbox.commit("a")
    publisher.up.clear()

    async with running(outbox, publisher) as relay:
        for number in range(100):
            relay.observe(outbox.commit(f"p{number % 5}"))
            if number == 30:
                publisher.up.set()
            await asyncio.sleep(0)
        await until(lambda: relay.live and outbox.left == 0)

    assert sum(map(len, publisher.arrived.values())) == 101


async def test_broken_store_is_waited_for() -> None:
    """While published positions cannot be marked the relay keeps them, says so once, and marks them later."""
    outbox, publisher = MemoryOutbox(), ObedientPublisher()

    with capture_logs() as logs:
        async with running(outbox, publisher) as relay:
            await until(lambda: relay.live)
            outbox.broken = True
            relay.observe(outbox.commit("a"))
            await until(lambda: outbox.refusals > 5)
            outbox.broken = False
            await until(lambda: outbox.left == 0)

    assert ["event-1"] == publisher.arrived["a"]
    assert 1 == sum(entry["event"] == "outbox.mark_failed" for entry in logs)


async def test_drain_waits_for_what_is_in_flight() -> None:
    """Draining ends when the broker has answered and the answers are marked."""
    outbox, publisher = MemoryOutbox(), ObedientPublisher()

    async with running(outbox, publisher) as relay:
        await until(lambda: relay.live)
        publisher.holding = True
        relay.observe(outbox.commit("a", "a"))
        drained = asyncio.create_task(relay.drain())
        await asyncio.sleep(0)
        early = drained.done()
        publisher.release()
        await drained

    assert not early
    assert outbox.left == 0


@pytest.mark.parametrize("leader", [True, False])
async def test_shared_outbox_is_published_by_its_leader(leader: bool) -> None:  # noqa: FBT001
    """Of several instances only the one with the lease publishes, whoever committed; it reads the table."""
    outbox, publisher = MemoryOutbox(shared=True, leader=leader), ObedientPublisher()

    async with running(outbox, publisher) as relay:
        relay.observe(outbox.commit("a"))
        outbox.commit("b")
        await asyncio.sleep(0.1)
        live = relay.live
        if not leader:
            outbox.leader = True
        await until(lambda: outbox.left == 0)

    assert not live
    assert ["event-1"] == publisher.arrived["a"]
    assert ["event-2"] == publisher.arrived["b"]


async def test_drain_empties_the_table_while_the_broker_is_there() -> None:
    """Stopping while events wait in the table publishes them first, unless the broker is away."""
    outbox, publisher = MemoryOutbox(), ObedientPublisher()
    publisher.up.clear()
    outbox.commit("a", "b", "c")

    async with running(outbox, publisher) as relay:
        async with asyncio.timeout(10):
            await relay.drain()
        away = outbox.left
        publisher.up.set()
        async with asyncio.timeout(10):
            await relay.drain()

    assert away == 3
    assert outbox.left == 0
