"""Committed events out to the publisher, in order for each payload. No event is ever dropped.

The relay has two modes. *Live*: messages come straight from the commit and are published at once. *Behind*: after a
start, a lost connection or an overload, messages are read from the outbox table, pass by pass, until a pass finds none;
events that are committed meanwhile are only noted. Where several instances share a store there is only the second mode,
on the instance that holds the lease: reading by position keeps one order over all instances.

In both modes a payload has at most one message in flight, so no event overtakes an earlier one in a queue that takes
both. An event that one queue does not take does not put the relay behind: it is in arrears for that queue.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from processor.broker.port import Publisher, Queues
from processor.core.errors import StoreError
from processor.core.payload.entry import Commit
from processor.core.publishing.debts import RefusingQueue
from processor.core.publishing.message import OutboxMessage
from processor.core.retry import PUBLISH
from processor.relay.arrears import Arrears
from processor.relay.lanes import Lanes
from processor.relay.marks import Marks
from processor.store.ports import Outbox

_POSITIONS_PER_MESSAGE: Final = 20
"""How many positions cost about as much to read as one message."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayLimits:
    """How many messages at a time, and how often the store is called."""

    window: int = 2_000
    """Most messages in flight or waiting for an earlier one of their payload. Beyond, the relay falls behind."""
    page: int = 500
    mark_every: timedelta = timedelta(milliseconds=100)
    """How long published positions are collected. After a crash they are published again, under the same ids."""
    poll_every: timedelta = timedelta(milliseconds=250)
    """How often a shared outbox is read while this instance commits nothing."""


class Relay:
    """Moves events from the store to the publisher. `observe` is called after each commit, `run` does the rest."""

    def __init__(
        self,
        outbox: Outbox,
        publisher: Publisher,
        *,
        queues: Queues,
        clock: Callable[[], datetime],
        limits: RelayLimits = RelayLimits(),
    ) -> None:
        """``queues`` tells which queues are bound to an event's routing key."""
        self._outbox = outbox
        self._publisher = publisher
        self._limits = limits
        self._marks = Marks(outbox, every=limits.mark_every)
        self._lost = False
        self._leading = False
        done = self._marks.add
        reread = partial(self._fall_behind, "other queues")
        self._arrears = Arrears(outbox, publisher, queues, on_published=done, on_forgotten=reread, clock=clock)
        self._lanes = Lanes(publisher, self._arrears, on_published=done, on_lost=self._lose)
        self._behind = asyncio.Event()
        self._behind.set()
        self._caught_up = asyncio.Event()
        self._noted = asyncio.Event()
        self._newest: list[OutboxMessage] | None = None

    @property
    def live(self) -> bool:
        """Whether events are published straight from the commit, and every queue takes them."""
        return not self._behind.is_set() and not self._arrears.owed

    @property
    def refused(self) -> tuple[RefusingQueue, ...]:
        """The queues that do not take events at the moment."""
        return self._arrears.refusals

    def observe(self, commit: Commit) -> None:
        """Take the events of a commit. Called on the event loop, in the order of the commits; never blocks."""
        messages = commit.messages
        if not commit.certain:
            self._fall_behind("uncertain commit")
        elif not messages:
            return
        if not self._behind.is_set() and self._lanes.load + len(messages) > self._limits.window:
            self._fall_behind("overload")
        if self._behind.is_set():
            self._note(messages)
            return
        for message in messages:
            self._lanes.enter(message)

    async def run(self) -> None:
        """Publish until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._marks.run(), name="relay-mark")
            group.create_task(self._keep_catching_up(), name="relay-catch-up")
            group.create_task(self._arrears.run(self._may_retry), name="relay-arrears")
            group.create_task(self._arrears.keep_asking(), name="relay-queues")

    async def drain(self) -> None:
        """Return when nothing is in flight and everything published is marked. For shutdown, after the intake has
        stopped.

        While the broker is connected, the outbox is published first, except for events in arrears.
        """
        if not self._outbox.shared and await self._ends_soon(self._publisher.ready()):
            await self._caught_up.wait()
        await self._lanes.idle.wait()
        await self._marks.flush()

    def _may_retry(self) -> bool:
        return self._leading or not self._outbox.shared

    def _lose(self) -> None:
        self._lost = True
        self._fall_behind("connection lost")

    def _fall_behind(self, reason: str) -> None:
        if not self._behind.is_set():
            log.warning("outbox.fell_behind", reason=reason, in_flight=self._lanes.load)
            self._behind.set()
            self._caught_up.clear()

    # Catching up from the table, pass by pass.

    def _note(self, messages: Sequence[OutboxMessage]) -> None:
        """Keep the messages committed while a page is read, so that catching up ends under constant traffic."""
        self._noted.set()
        if self._newest is None:
            return
        if messages and len(self._newest) < self._limits.page:
            self._newest += messages
        else:
            self._newest = None

    async def _keep_catching_up(self) -> None:
        attempt = 0
        while True:
            await self._behind.wait()
            await self._lanes.idle.wait()
            await self._marks.settle()
            clean = await self._try_pass()
            attempt = 0 if clean else attempt + 1
            if not clean:
                await asyncio.sleep(PUBLISH.delay(attempt, random.random()).total_seconds())  # noqa: S311  jitter
            elif self._outbox.shared:
                await self._ends_soon(self._noted.wait())

    async def _try_pass(self) -> bool:
        try:
            await self._publisher.ready()
            self._noted.clear()
            self._leading = await self._outbox.lead()
            if self._leading:
                return await self._pass()
        except StoreError as error:
            log.error("outbox.read_failed", error=str(error))
            return False
        self._arrears.clear()
        return True

    async def _pass(self) -> bool:
        """Publish the outbox once through, except for events in arrears. True if the connection was not lost."""
        self._lost = False
        position, count = 0, 0
        while page := await self._read(position):
            if self._lost:
                return False
            fresh = [message for message in page if message.position not in self._arrears.owed]
            for message in fresh:
                self._lanes.enter(message)
            position, count = page[-1].position, count + len(fresh)
            if len(page) < self._limits.page and self._go_live(position):
                break
            await self._lanes.until_at_most(max(0, self._limits.window - self._limits.page))
        else:
            self._go_live(position)
        if count:
            log.info("outbox.caught_up", published=count, refused=len(self._arrears.owed))
        return not self._lost

    async def _read(self, position: int) -> Sequence[OutboxMessage]:
        position = await self._skip_arrears(position)
        self._newest = []
        return await self._outbox.read(after=position, limit=self._limits.page)

    async def _skip_arrears(self, position: int) -> int:
        """The position behind the next rows that are in arrears, whose messages need not be read."""
        limit = _POSITIONS_PER_MESSAGE * self._limits.page
        while self._arrears.owed:
            positions = await self._outbox.read_positions(after=position, limit=limit)
            fresh = next((each for each in positions if each not in self._arrears.owed), None)
            if fresh is not None:
                return fresh - 1
            position = positions[-1] if positions else position
            if len(positions) < limit:
                break
        return position

    def _go_live(self, position: int) -> bool:
        """Go live, after the table was read to its end at ``position``, and publish what was committed meanwhile.

        Nothing may be awaited between that read and this call: a commit in between would be missed.
        """
        if self._lost or self._newest is None or self._outbox.shared:
            return False
        self._behind.clear()
        self._caught_up.set()
        for message in self._newest:
            if message.position > position:
                self._lanes.enter(message)
        return True

    async def _ends_soon(self, wait: Awaitable[object]) -> bool:
        """Whether ``wait`` ends before a shared outbox is read again."""
        try:
            async with asyncio.timeout(self._limits.poll_every.total_seconds()):
                await wait
        except TimeoutError:
            return False
        return True
