import json
import os
from collections import Counter

import aiormq
import pytest

from schemas.topology import EXCHANGE
from tests.bench.consumption import Consumption
from tests.bench.hearing import hear, judge, table
from tests.bench.stage import Broker
from tests.bench.table import Sizes
from tests.bench.tap import Tap
from tests.servers.rabbitmq import RabbitMQ

COST = Consumption(cpu=0.5, broker_cpu=1.0, others=0.1, peak_memory=1)


def test_what_was_sent_is_set_against_what_came() -> None:
    """Each message is timed from its own sending; what never came is lost, what came again is doubled."""
    tap = Tap("amqp://nobody", "#")
    tap.came_at = {"a": 10.25, "b": 11.5, "d": 13.75}
    tap.events = Counter({"a": 1, "b": 3, "d": 1})
    found = judge({"a": 10.0, "b": 11.0, "c": 12.0, "d": 13.0}, tap, rate=100, cost=COST)

    expected = (0.5, 0.75, 0.75, 0.125, 1, 2)

    assert expected == (found.p50, found.p99, found.most, found.cpu, found.lost, found.doubled)


@pytest.mark.parametrize(
    ("events", "sound"),
    [({"a": 1, "b": 1}, True), ({"a": 1}, False), ({"a": 1, "b": 2}, False), ({"a": 1, "b": 1, "strange": 2}, False)],
)
def test_each_message_is_one_event(events: dict[str, int], *, sound: bool) -> None:
    """An event that is lost or told twice is a defect, however fast the others were; the figures say so too."""
    tap = Tap("amqp://nobody", "#")
    tap.came_at = dict.fromkeys(events, 11.0)
    tap.events = Counter(events)
    found = table(judge({"a": 10.0, "b": 10.0}, tap, rate=100, cost=COST), "3.10.8")

    document = json.loads(json.dumps(found.document()))

    assert sound is found.sound
    assert (sound, 1.0, "3.10.8") == (document["sound"], document["p50"], document["surroundings"]["RabbitMQ"])


@pytest.mark.rabbitmq
async def test_the_tap_counts_by_payload(amqp_url: str) -> None:
    """Every event is counted for its payload, the first one timed, and waiting ends with the last payload."""
    connection = await aiormq.connect(amqp_url)
    channel = await connection.channel()
    await channel.exchange_declare(EXCHANGE, exchange_type="topic", durable=True)
    async with Tap(amqp_url, "*.sign.opened") as tap:
        for payload in ("a", "b", "a", "c"):
            properties = aiormq.spec.Basic.Properties(correlation_id=payload)
            await channel.basic_publish(b"", exchange=EXCHANGE, routing_key="x.sign.opened", properties=properties)
        await tap.until(3, patience=10)
    await connection.close()

    assert Counter({"a": 2, "b": 1, "c": 1}) == tap.events
    assert tap.came_at["a"] < tap.came_at["b"] < tap.came_at["c"]
    assert tap.doubled == 1


@pytest.mark.rabbitmq
async def test_a_few_messages_are_heard(rabbitmq: RabbitMQ) -> None:
    """Each message on a socket of the real service becomes one event on a real broker."""
    rabbitmq.heal()
    found = await hear(
        Sizes(messages=5, rate=50, settle_seconds=0.1), Broker(server=rabbitmq, pid=os.getpid(), version="")
    )

    assert (5, 0, 0, True) == (found.sent, found.lost, found.doubled, found.sound)
    assert 0 < found.p50 <= found.p90 <= found.p99 <= found.most
