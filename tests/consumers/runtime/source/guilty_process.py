"""A consumer process of two queues that is killed by one payload's event, whenever it handles that.

python -m tests.consumers.runtime.source.guilty_process <amqp url> <database url> <payload>
"""

import asyncio
import os
import signal
import sys
import time
from typing import ClassVar

from sqlalchemy import Connection

from consumers.runtime.composition import run_consumer, sources_of
from consumers.runtime.discovery import NamedConsumer
from consumers.runtime.settings import ConsumerSettings
from schemas.events import ResolveRejected, ResolveValidated
from tests.consumers.events import payload_uuid
from tests.consumers.orders import Orders


class Mortal(Orders):
    """Dies of one payload at once, and takes its time for another."""

    queue = "orders"
    command_queues = ("more-orders",)
    guilty: ClassVar[str]

    def note(self, event: ResolveValidated | ResolveRejected, transaction: Connection) -> None:
        if event.subject == self.guilty:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1.0 if event.subject == payload_uuid(0) else 0.0)
        super().note(event, transaction)


async def main(amqp_url: str, database_url: str, guilty: str) -> None:
    Mortal.guilty = guilty
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    settings = ConsumerSettings(database_url=database_url)
    found = NamedConsumer(name="orders", consumer=Mortal)
    await run_consumer(found, settings, sources_of([amqp_url], Mortal, prefetch=64), stop)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
