"""Record webhooks, and say so on standard output as soon as each is stored: ``acknowledge URL IN_FLIGHT COUNT``."""

import asyncio
import os
import sys
from asyncio import Semaphore
from datetime import UTC, datetime

from processor.store.store import Store
from processor.store.writer import Writer
from tests.store.samples import payload, webhook


async def main(url: str, in_flight: int, count: int) -> None:
    room = Semaphore(in_flight)
    async with Writer(lambda: Store.open(url), clock=lambda: datetime.now(UTC)) as writer, asyncio.TaskGroup() as tasks:
        for number in range(count):
            await room.acquire()
            tasks.create_task(acknowledge(writer, number, room))


async def acknowledge(writer: Writer, number: int, room: Semaphore) -> None:
    await writer.record(webhook(number))
    os.write(1, f"acknowledged {payload(number)}\n".encode())
    room.release()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
