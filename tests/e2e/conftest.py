from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.service import Stage
from tests.e2e.traffic import Sender
from tests.servers.proxy import Proxy
from tests.servers.rabbitmq import RabbitMQ


@pytest.fixture
def stage(tmp_path: Path, rabbitmq: RabbitMQ, amqp_url: str) -> Iterator[Stage]:
    """Where a test's processes run, on a virtual host of their own."""
    with Stage(tmp_path, rabbitmq, amqp_url) as stage:
        yield stage


@pytest.fixture
async def sender() -> AsyncIterator[Sender]:
    async with Sender() as sender:
        yield sender


@pytest.fixture
async def proxy(rabbitmq: RabbitMQ) -> AsyncIterator[Proxy]:
    """What lies between service and broker."""
    async with Proxy(rabbitmq.amqp_port) as proxy:
        yield proxy
