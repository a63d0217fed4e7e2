"""Record webhooks until no file may grow any more, then let files grow again; say what happened: ``full_disk PATH``."""

import asyncio
import os
import resource
import sys
from pathlib import Path

from processor.core.errors import StoreUnavailable
from processor.store import outbox
from processor.store.store import Store
from processor.store.writer import Writer
from tests.store.samples import payload, webhook

ROOM = 200_000


async def main(path: str) -> None:
    async with Writer(lambda: Store.open(f"sqlite:///{path}")) as writer:
        await writer.record(webhook(0))
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (used(f"{path}-wal") + ROOM, most))
        failed = await fill(writer)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        await writer.record(webhook(failed))
        stored = {queued.message.payload for queued in await writer.run(outbox.read, 1000)}
        say(f"failed later than the first: {failed > 1}")
        say(f"stored: {stored == {payload(number) for number in range(failed + 1)}}")


def used(path: str) -> int:
    return Path(path).stat().st_size


async def fill(writer: Writer) -> int:
    """The first webhook for which there is no room."""
    number = 1
    while True:
        try:
            await writer.record(webhook(number))
        except StoreUnavailable as error:
            say(str(error))
            return number
        number += 1


def say(text: str) -> None:
    os.write(2, f"{text}\n".encode())


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
