"""Commands that wait for the store, without a broker."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from processor.core.errors import StoreUnavailable
from processor.core.payload.entry import Recorded, Reported
from processor.watching.watch_requests import PendingCommands, WatchRequests
from schemas.commands import WatchCommand
from tests.core.payloads import NOW, PAYLOAD, SHOP
from tests.support.watching import until

COMMAND = WatchCommand(app="shop", payload=PAYLOAD)


class Moody:
    """A store that answers as it is told: with an error, with nothing at all, or by recording."""

    def __init__(self, moods: Sequence[str]) -> None:
        self.moods = list(moods)

    def record(self, entry: Reported) -> "asyncio.Future[Recorded]":
        answer: asyncio.Future[Recorded] = asyncio.get_running_loop().create_future()
        match self.moods.pop(0):
            case "refuses":
                answer.set_exception(StoreUnavailable("gone"))
            case "records":
                answer.set_result(Recorded(transition=None))
        return answer


async def test_store_that_refuses_or_hangs_is_asked_again() -> None:
    """A command is settled once, after the store has taken it, and what went wrong before is known."""
    store = Moody(["refuses", "hangs", "records"])
    requests = WatchRequests({"shop": SHOP}, store, clock=lambda: NOW)
    pending = PendingCommands(requests, chance=lambda: 0.9, patience=timedelta(milliseconds=10))
    settled: list[float | None] = []

    async def settle() -> None:
        settled.append(pending.refused_since)

    pending.put(COMMAND, settle)
    await until(lambda: bool(settled))

    assert ([None], "no answer in time", []) == (settled, pending.error, store.moods)
