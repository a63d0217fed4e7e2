"""Channels, against a broker that does as each test says: what one gives no answer for, or refuses, holds up no other.

The answers are those that RabbitMQ 3.10 was seen to give: `tests/broker/test_rabbitmq.py` has the real ones.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from pamqp import commands
from structlog.testing import capture_logs

from processor.broker.options import RabbitOptions
from processor.broker.port import IN_ORDER, Disconnected, Nacked, Unanswered, Unpermitted
from processor.broker.rabbitmq import RabbitPublisher
from processor.core.retry import Backoff
from tests.broker.broker import Peer, confirm_everything, scripted, silence
from tests.broker.messages import a_message
from tests.broker.outcomes import outcomes_of, until

QUICK = RabbitOptions(
    exchange="events",
    backoff=Backoff(first=timedelta(milliseconds=10), cap=timedelta(milliseconds=20)),
    patience=timedelta(milliseconds=200),
)


@asynccontextmanager
async def connected(url: str, options: RabbitOptions = QUICK) -> AsyncIterator[RabbitPublisher]:
    async with RabbitPublisher(url, options) as publisher:
        await asyncio.wait_for(publisher.ready(), 10)
        yield publisher


async def test_a_silent_channel_is_left_for_another() -> None:
    """After as many publishes as keep the broker reading, the next ones take another channel, and are confirmed."""

    async def script(peer: Peer) -> None:
        tags: Counter[int] = Counter()
        while True:
            await peer.publish()
            tags[peer.channel] += 1
            if peer.channel != 1:
                peer.send(commands.Basic.Ack(tags[peer.channel]), peer.channel)

    async with scripted(script) as url, connected(url) as publisher:
        outcomes = await outcomes_of([publisher.publish(a_message(number)) for number in range(IN_ORDER + 50)])

    assert outcomes == [Unanswered] * IN_ORDER + [None] * 50


async def test_a_late_confirm_is_heard() -> None:
    """What is confirmed after it was given up resolves the error's future; what is refused then cancels it."""
    given_up = asyncio.Event()

    async def script(peer: Peer) -> None:
        for _ in range(3):
            await peer.publish()
        answering = asyncio.create_task(peer.publish())
        await given_up.wait()
        peer.send(commands.Basic.Ack(1))
        peer.send(commands.Basic.Nack(2))
        await answering

    async with scripted(script) as url, connected(url) as publisher:
        futures = [publisher.publish(a_message(number)) for number in range(3)]
        await outcomes_of(futures)
        errors = [future.exception() for future in futures]
        given_up.set()
        lates = [error.late for error in errors if isinstance(error, Unanswered)]
        await until(lambda: lates[0].done() and lates[1].done())
        confirmed = [late.cancelled() for late in lates[:2]]

    assert len(lates) == 3
    assert confirmed == [False, True]
    assert lates[2].cancelled()


async def test_a_broker_that_does_not_read_is_not_a_silent_queue() -> None:
    """What waits is given up as `Unanswered` only if the broker says meanwhile that it reads on."""
    options = replace(QUICK, confirm_timeout=timedelta(milliseconds=600))
    async with scripted(silence) as url, connected(url, options) as publisher:
        outcomes = await outcomes_of([publisher.publish(a_message())])

    assert outcomes == [Disconnected]


async def test_refusals_use_a_channel_up() -> None:
    """A channel that refuses is replaced now and then: behind a refusal another queue may have given no answer."""
    used: list[int] = []

    async def script(peer: Peer) -> None:
        tags: Counter[int] = Counter()
        while True:
            await peer.publish()
            tags[peer.channel] += 1
            used.append(peer.channel)
            peer.send(commands.Basic.Nack(tags[peer.channel]), peer.channel)

    async with scripted(script) as url, connected(url) as publisher:
        for start in range(0, 5 * IN_ORDER, 50):
            await outcomes_of([publisher.publish(a_message(number)) for number in range(start, start + 50)])

    assert [IN_ORDER] * 5 == [count for _, count in sorted(Counter(enumerate_runs(used)).items())]


def enumerate_runs(numbers: list[int]) -> list[int]:
    """For each number, which run of equal neighbours it is in."""
    runs = 0
    found = []
    for index, number in enumerate(numbers):
        runs += index > 0 and number != numbers[index - 1]
        found.append(runs)
    return found


async def test_a_channel_that_answers_is_used_on() -> None:
    """As long as the broker confirms, one channel does."""
    used: set[int] = set()

    async def script(peer: Peer) -> None:
        tag = 0
        while True:
            await peer.publish()
            tag += 1
            used.add(peer.channel)
            peer.send(commands.Basic.Ack(tag), peer.channel)

    async with scripted(script) as url, connected(url) as publisher:
        for start in range(0, 4 * IN_ORDER, 50):
            await outcomes_of([publisher.publish(a_message(number)) for number in range(start, start + 50)])

    assert used == {1}


async def test_each_queue_has_a_channel_of_its_own() -> None:
    """A message for one queue passes by the exchange, on a channel that others do not wait on."""
    seen: list[tuple[int, str | None, str | None]] = []

    async def script(peer: Peer) -> None:
        while True:
            publish = await peer.publish()
            seen.append((peer.channel, publish.exchange, publish.routing_key))
            if publish.routing_key != "silent":
                peer.send(commands.Basic.Ack(1), peer.channel)

    async with scripted(script) as url, connected(url) as publisher:
        outcomes = await outcomes_of([publisher.publish(a_message(), queue) for queue in ("silent", "sound", None)])

    assert outcomes == [Unanswered, None, None]
    assert len({channel for channel, _, _ in seen}) == 3
    assert [("", "silent"), ("", "sound"), ("events", "shop.sign.opened")] == [each[1:] for each in seen]


@pytest.mark.parametrize(("code", "error"), [(403, Unpermitted), (406, Nacked)])
async def test_a_queue_that_is_not_to_be_reached_costs_its_channel_alone(code: int, error: type) -> None:
    """When the broker closes the channel of one queue, what is in flight there fails, and nothing else."""

    async def script(peer: Peer) -> None:
        while True:
            publish = await peer.publish()
            if publish.exchange:
                peer.send(commands.Basic.Ack(1), peer.channel)
            else:
                peer.send(commands.Channel.Close(code, "NO", 60, 40), peer.channel)

    async with scripted(script) as url, connected(url) as publisher:
        outcomes = await outcomes_of([publisher.publish(a_message(1), "queue")])
        outcomes += await outcomes_of([publisher.publish(a_message(2)), publisher.publish(a_message(3), "queue")])

    assert outcomes == [error, None, error]


async def test_when_no_channel_is_left_another_connection_is_opened() -> None:
    """A broker that allows few channels, all of them silent, is left; what was in flight fails with `Disconnected`."""
    visits: list[Peer] = []

    async def script(peer: Peer) -> None:
        visits.append(peer)
        if len(visits) > 1:
            await confirm_everything(peer)
        while True:
            await peer.publish()

    options = replace(QUICK, patience=timedelta(seconds=20))
    with capture_logs() as logs:
        async with scripted(script, channel_max=2) as url, connected(url, options) as publisher:
            futures = [publisher.publish(a_message(number)) for number in range(2 * IN_ORDER + 1)]
            outcomes = await outcomes_of(futures)
            await asyncio.wait_for(publisher.ready(), 10)
            outcomes += await outcomes_of([publisher.publish(a_message())])

    assert outcomes == [Disconnected] * len(futures) + [None]
    assert ["every channel waits for a queue that gives no answer"] == [
        entry["reason"] for entry in logs if entry["event"] == "publisher.disconnected"
    ]
