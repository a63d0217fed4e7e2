"""A consumer process that kills itself between the commit of an effect and its acknowledgement, once.

python -m tests.consumers.runtime.source.dying_process <amqp url> <database url> <marker file>
"""

import asyncio
import os
import signal
import sys
from pathlib import Path

from consumers.runtime.composition import run_consumer
from consumers.runtime.discovery import NamedConsumer
from consumers.runtime.settings import ConsumerSettings
from consumers.runtime.source.port import MessageDelivery
from consumers.runtime.source.rabbitmq import RabbitSource
from tests.consumers.orders import Orders


class DyingSource(RabbitSource):
    """Dies of the first acknowledgement unless the marker says that it has before."""

    marker: Path

    async def ack(self, delivery: MessageDelivery) -> None:
        if not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        await super().ack(delivery)


async def main(amqp_url: str, database_url: str, marker: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    source = DyingSource([amqp_url], "orders")
    source.marker = Path(marker)
    settings = ConsumerSettings(database_url=database_url)
    await run_consumer(NamedConsumer(name="orders", consumer=Orders), settings, {"orders": source}, stop)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
