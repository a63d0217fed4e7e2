"""Published positions, marked in the outbox in batches."""

import asyncio
from datetime import timedelta
from typing import Final

import structlog

from processor.core.errors import StoreError
from processor.store.ports import Outbox

_LOG_EVERY: Final = 60.0
_TRY_EVERY: Final = 0.25

log = structlog.get_logger()


class Marks:
    """Collects published positions and marks them at intervals. None is lost while the store is unavailable."""

    def __init__(self, outbox: Outbox, *, every: timedelta) -> None:
        self._outbox = outbox
        self._every = every.total_seconds()
        self._positions: list[int] = []
        self._logged_at = float("-inf")
        self._marking = asyncio.Lock()

    def add(self, position: int) -> None:
        """Take a published position."""
        self._positions.append(position)

    async def run(self) -> None:
        """Mark until cancelled."""
        while True:
            await asyncio.sleep(self._every)
            await self.flush()

    async def settle(self) -> None:
        """Return when every added position is marked."""
        await self.flush()
        while self._positions:
            await asyncio.sleep(_TRY_EVERY)
            await self.flush()

    async def flush(self) -> None:
        """Mark the added positions if the store takes them, after those that are being marked."""
        async with self._marking:
            positions = self._positions.copy()
            self._positions.clear()
            if not positions:
                return
            try:
                await self._outbox.mark_published(positions)
            except StoreError as error:
                self._positions += positions
                self._log_failure(error)

    def _log_failure(self, error: StoreError) -> None:
        """Log the failure once a minute: marking is tried ten times a second."""
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= _LOG_EVERY:
            self._logged_at = now
            log.error("outbox.mark_failed", positions=len(self._positions), error=str(error))
