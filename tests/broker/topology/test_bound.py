"""Which queues the exchange of events routes to, asked of a real broker."""

from pathlib import Path

import aio_pika
import pytest

from processor.broker.topology.bound import BoundQueues
from processor.core.publishing.debts import BindingsUnknown, QueueBindings
from schemas.topology import DEFAULT_QUEUES, EXCHANGE, LOG
from tests.servers.rabbitmq import RabbitMQ
from tests.support.settings import NOBODY, settings_for


@pytest.mark.rabbitmq
async def test_the_broker_names_all_queues(tmp_path: Path, amqp_url: str, rabbitmq: RabbitMQ) -> None:
    """Queues of anybody count, each with its topics; with an exchange bound too there may be more behind it."""
    queues = BoundQueues(settings_for(tmp_path, amqp_url=amqp_url, amqp_management_url=rabbitmq.management_url))
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        events = await channel.declare_exchange(EXCHANGE, "topic", durable=True)
        queue = await channel.declare_queue("theirs")
        await queue.bind(events, "*.sign.#")
        await queue.bind(events, "shop.#")
        found = await queues.ask()
        await (await channel.declare_exchange("behind", "fanout")).bind(events, "#")
        behind = await queues.ask()

    assert {name: sorted(topics) for name, topics in found.topics.items()} == {"theirs": ["*.sign.#", "shop.#"]}
    assert (found.complete, behind.complete) == (True, False)
    assert found.topics == behind.topics


async def test_without_an_answer_those_of_the_settings_are_expected(tmp_path: Path) -> None:
    """A management API that cannot be reached is no defect; no password is told."""
    url = "amqp://guest:hunter2@127.0.0.1:1/"
    queues = BoundQueues(settings_for(tmp_path, amqp_url=url, amqp_management_url=NOBODY))

    with pytest.raises(BindingsUnknown) as unknown:
        await queues.ask()

    assert "hunter2" not in str(unknown.value)
    assert queues.expected == QueueBindings(topics={**DEFAULT_QUEUES, LOG: ("#",)}, complete=False)


async def test_without_a_broker_those_expected_are_all(tmp_path: Path) -> None:
    """Consumers within the process are those of the settings."""
    queues = BoundQueues(settings_for(tmp_path))

    assert queues.expected == await queues.ask()
