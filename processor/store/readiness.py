"""Whether a webhook that is sent now would be stored, and how many events wait for the broker.

The results of entries answer that. While there are none, a write of the same size is made, but only on demand: one at
a time and at most one a second, however many ask.
"""

import asyncio
from asyncio import Future
from collections.abc import Callable
from datetime import datetime
from time import monotonic
from typing import Any, Final

from processor.core.errors import StoreError, StoreFault, StoreUnavailable
from processor.store import leases, outbox
from processor.store.writer import Writer

FRESH: Final = 1.0
"""Seconds for which an answer counts."""
ANSWER_WITHIN: Final = 2.5
"""Seconds that a caller waits, at most: a store that takes longer is not ready."""


class Readiness:
    """The readiness of one writer's store. ``instance`` names this process among those that share the store."""

    def __init__(self, writer: Writer, *, instance: str, clock: Callable[[], datetime]) -> None:
        self._writer = writer
        self._instance = instance
        self._clock = clock
        self._rehearsal = _Question(self._rehearse)
        self._count = _Question(lambda: writer.run(outbox.count))
        writer.on_write = self._rehearsal.answer

    async def fault(self) -> StoreFault | None:
        """Why a webhook that is sent now would not be stored; None if it would be."""
        if not self._writer.running:
            return "closed"
        if self._writer.crowded:
            return "crowded"
        return await self._rehearsal.ask()

    async def unpublished(self) -> int:
        """How many events wait in the outbox: counted, or the last known number while the outbox cannot be read."""
        await self._count.ask()
        return max(self._writer.depth, 0)

    def _rehearse(self) -> "Future[Any]":
        return self._writer.run(leases.rehearse, self._instance, self._clock())


class _Question:
    """A question to the store, asked once for all who wait for the answer: the store's fault, or None."""

    def __init__(self, put: Callable[[], "Future[Any]"]) -> None:
        self._put = put
        self._pending: Future[Any] | None = None
        self._asked_at = self._answered_at = -FRESH
        self._fault: StoreFault | None = None

    def answer(self, fault: StoreFault | None) -> None:
        """Take an answer that was learned otherwise."""
        self._fault, self._answered_at = fault, monotonic()

    async def ask(self) -> StoreFault | None:
        """The answer; ``slow`` if there is none after `ANSWER_WITHIN`."""
        if self._pending is None and monotonic() - self._answered_at < FRESH:
            return self._fault
        if self._pending is None:
            self._begin()
        if self._pending is not None:
            await asyncio.wait([self._pending], timeout=self._asked_at + ANSWER_WITHIN - monotonic())
        return self._fault if self._pending is None else "slow"

    def _begin(self) -> None:
        self._asked_at = monotonic()
        try:
            self._pending = self._put()
        except StoreError as error:
            self.answer(_fault_of(error))
        else:
            self._pending.add_done_callback(self._end)

    def _end(self, done: "Future[Any]") -> None:
        self._pending = None
        error = None if done.cancelled() else done.exception()
        self.answer(None if error is None else _fault_of(error))


def _fault_of(error: BaseException) -> StoreFault:
    return error.fault if isinstance(error, StoreUnavailable) else "failed"
