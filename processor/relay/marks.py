"""Published positions on their way to the table: marked in batches, a little later."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final, Protocol

import structlog

from processor.core.errors import StoreError

_TELL_EVERY: Final = 60.0
_TRY_EVERY: Final = 0.25

log = structlog.get_logger()


class Markable(Protocol):
    """The part of the outbox that is written here."""

    async def mark_published(self, positions: Sequence[int]) -> None:
        """Remember that the broker holds these. Idempotent. Raises `StoreError`."""
        ...


class Marks:
    """Collects published positions, and marks them every so often. None is lost while the store is away."""

    def __init__(self, outbox: Markable, *, every: timedelta) -> None:
        self._outbox = outbox
        self._every = every.total_seconds()
        self._positions: list[int] = []
        self._told_at = float("-inf")
        self._marking = asyncio.Lock()
        self.add: Final = self._positions.append
        """Take a position that was published. Not a method, since it is called for each event."""

    async def run(self) -> None:
        """Mark until cancelled."""
        while True:
            await asyncio.sleep(self._every)
            await self.flush()

    async def settle(self) -> None:
        """Return when all that was added is marked."""
        await self.flush()
        while self._positions:
            await asyncio.sleep(_TRY_EVERY)
            await self.flush()

    async def flush(self) -> None:
        """Mark what was added, if the store takes it, and wait for what is being marked."""
        async with self._marking:
            positions = self._positions.copy()
            self._positions.clear()
            if not positions:
                return
            try:
                await self._outbox.mark_published(positions)
            except StoreError as error:
                self._positions += positions
                self._tell(error)

    def _tell(self, error: StoreError) -> None:
        """Once a minute: it is tried ten times a second."""
        now = asyncio.get_running_loop().time()
        if now - self._told_at >= _TELL_EVERY:
            self._told_at = now
            log.error("outbox.mark_failed", positions=len(self._positions), error=str(error))
