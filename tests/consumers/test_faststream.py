"""A consumer on another library, as consumers/README.md shows it, on the queues of `processor topology apply`."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from processor.broker.topology.desired import desired
from processor.broker.topology.management import parse_access
from processor.broker.topology.operations import apply
from tests.consumers.broker import Broker, until
from tests.consumers.events import event, message, raw_message
from tests.readmes.page import block
from tests.servers.rabbitmq import RabbitMQ

pytestmark = pytest.mark.rabbitmq


async def test_faststream_consumes_by_the_lines_of_the_readme(
    rabbitmq: RabbitMQ, amqp_url: str, tmp_path: Path
) -> None:
    """Events arrive decoded, what cannot be read is dead-lettered, and nothing of the topology is changed."""
    program = tmp_path / "tell.py"
    program.write_text(block("consumers/README.md", "python", "faststream"))
    access = parse_access(rabbitmq.management_url, amqp_url)
    await apply(access, desired())
    validated = event("resolve.validated")
    broker = Broker(amqp_url, "app-state")
    await broker.connect()
    await broker.publish(message(validated))
    await broker.publish_to("app-state", raw_message(b"\x00junk"), {})
    async with running(program, amqp_url) as process:
        dead = await until(partial(broker.take, "app-state.dead"))
        left = await apply(access, desired())
        process.send_signal(signal.SIGTERM)
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    count = await broker.count()
    await broker.close()

    told = [line for line in output.decode().splitlines() if line.startswith("xumm.")]
    assert told == [f"{validated.type} {validated.subject} {validated.id}"]
    assert (dead.body, dead.headers["x-death"][0]["reason"]) == (b"\x00junk", "rejected")
    assert (process.returncode, left.changes, count) == (0, (), 0)


@asynccontextmanager
async def running(program: Path, amqp_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    environment = {**os.environ, "PROCESSOR_AMQP_URL": amqp_url}
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
