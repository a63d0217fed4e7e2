"""Committed events out: from the commit to the publisher, in order for each payload, and nothing is ever dropped.

Two modes. *Live*: messages come straight from the commit and go out at once. *Behind*: after a start, a lost connection
or an overload, messages are read from the outbox table instead, pass by pass, until a pass finds nothing left; what is
committed meanwhile is only noted. Where several instances share a store there is only the second mode, for the one
that holds the lease: reading by position is what keeps one order over all instances.

In both modes a payload has one message in flight at most, so a later event overtakes none in a queue that takes both.
What a queue does not take while others do is no reason to fall behind: it is in arrears, and the rest goes on.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog

from processor.broker.port import Publisher
from processor.core.errors import StoreError
from processor.core.publishing.debts import Refusal
from processor.core.publishing.message import OutboxMessage
from processor.core.retry import PUBLISH
from processor.relay.arrears import Arrears, Queues
from processor.relay.lanes import Lanes
from processor.relay.marks import Marks

_POSITIONS_PER_MESSAGE: Final = 20
"""How many bare positions are read for the cost of one message, roughly."""

log = structlog.get_logger()


class Outbox(Protocol):
    """The committed events that the broker does not hold yet."""

    @property
    def shared(self) -> bool:
        """Whether other processes commit events too."""
        ...

    async def unpublished(self, *, after: int, limit: int) -> Sequence[OutboxMessage]:
        """The unpublished messages with a position over ``after``, in order. Raises `StoreError`."""
        ...

    async def positions(self, *, after: int, limit: int) -> Sequence[int]:
        """The positions of the unpublished messages over ``after``, in order. Raises `StoreError`."""
        ...

    async def waiting(self, positions: Sequence[int]) -> Sequence[OutboxMessage]:
        """Those of the messages at ``positions`` that are unpublished, in order. Raises `StoreError`."""
        ...

    async def mark_published(self, positions: Sequence[int]) -> None:
        """Remember that the broker holds these. Idempotent. Raises `StoreError`."""
        ...

    async def lead(self) -> bool:
        """Whether this instance may publish, for some seconds from now. Always true where nothing is shared."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much at once, and how often."""

    window: int = 2_000
    """Messages in flight, or waiting for an earlier one of their payload. Over that, it falls behind on purpose."""
    page: int = 500
    mark_every: timedelta = timedelta(milliseconds=100)
    """How long published positions are collected: a crash publishes them again, under the same ids."""
    poll_every: timedelta = timedelta(milliseconds=250)
    """How often a shared outbox is read when nobody here committed anything."""


class Relay:
    """Moves events from the store to the publisher. `offer` is called after each commit, `run` does the rest."""

    def __init__(
        self,
        outbox: Outbox,
        publisher: Publisher,
        *,
        queues: Queues,
        clock: Callable[[], datetime],
        pace: Pace = Pace(),
    ) -> None:
        """``queues`` tells where an event is bound for that not every queue takes."""
        self._outbox = outbox
        self._publisher = publisher
        self._pace = pace
        self._marks = Marks(outbox, every=pace.mark_every)
        self._lost = False
        self._leading = False
        done = self._marks.add
        self._arrears = Arrears(
            outbox, publisher, queues, on_published=done, on_forgotten=self._read_again, clock=clock
        )
        self._lanes = Lanes(publisher, self._arrears, on_published=done, on_lost=self._lose)
        self._behind = asyncio.Event()
        self._behind.set()
        self._caught_up = asyncio.Event()
        self._noted = asyncio.Event()
        self._newest: list[OutboxMessage] | None = None

    @property
    def live(self) -> bool:
        """Whether events go out straight from the commit, and all queues take them."""
        return not self._behind.is_set() and not self._arrears.owed

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """The queues that do not take events at the moment."""
        return self._arrears.refusals

    def offer(self, messages: Sequence[OutboxMessage]) -> None:
        """Take what was just committed. Called on the event loop, in the order of the commits; never blocks.

        No messages at all mean that a commit may or may not have gone through: the table knows.
        """
        if not messages:
            self._fall_behind("doubtful commit")
        if not self._behind.is_set() and self._lanes.load + len(messages) > self._pace.window:
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
            group.create_task(self._arrears.run(self._may_repeat), name="relay-arrears")
            group.create_task(self._arrears.keep_asking(), name="relay-queues")

    async def drain(self) -> None:
        """Return when nothing is in flight and all that was published is marked. For shutdown, after intake stopped.

        While the broker is there, what waits in the table goes out first, but for what a queue does not take.
        """
        if not self._outbox.shared and await self._is_ready():
            await self._caught_up.wait()
        await self._lanes.idle.wait()
        await self._marks.flush()

    def _may_repeat(self) -> bool:
        return self._leading or not self._outbox.shared

    def _read_again(self) -> None:
        self._fall_behind("other queues")

    def _lose(self) -> None:
        self._lost = True
        self._fall_behind("connection lost")

    def _fall_behind(self, reason: str) -> None:
        if not self._behind.is_set():
            log.warning("outbox.fell_behind", reason=reason, in_flight=self._lanes.load)
            self._behind.set()
            self._caught_up.clear()

    # Catching up: from the table, pass by pass.

    def _note(self, messages: Sequence[OutboxMessage]) -> None:
        """Keep what is committed while a page is read, so that reading can end while webhooks go on coming."""
        self._noted.set()
        if self._newest is None:
            return
        if messages and len(self._newest) < self._pace.page:
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
                await self._rest()

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
        """Publish what the table holds, once through, but for what is in arrears. True if the connection held."""
        self._lost = False
        position, count = 0, 0
        while page := await self._read(position):
            if self._lost:
                return False
            fresh = [message for message in page if message.position not in self._arrears.owed]
            for message in fresh:
                self._lanes.enter(message)
            position, count = page[-1].position, count + len(fresh)
            if len(page) < self._pace.page and self._go_live(position):
                break
            await self._lanes.until_at_most(max(0, self._pace.window - self._pace.page))
        else:
            self._go_live(position)
        if count:
            log.info("outbox.caught_up", published=count, refused=len(self._arrears.owed))
        return not self._lost

    async def _read(self, position: int) -> Sequence[OutboxMessage]:
        position = await self._pass_over(position)
        self._newest = []
        return await self._outbox.unpublished(after=position, limit=self._pace.page)

    async def _pass_over(self, position: int) -> int:
        """The position behind the rows from there on that are in arrears: their messages need not be read."""
        limit = _POSITIONS_PER_MESSAGE * self._pace.page
        while self._arrears.owed:
            positions = await self._outbox.positions(after=position, limit=limit)
            fresh = next((each for each in positions if each not in self._arrears.owed), None)
            if fresh is not None:
                return fresh - 1
            position = positions[-1] if positions else position
            if len(positions) < limit:
                break
        return position

    def _go_live(self, position: int) -> bool:
        """Leave the table, which was read to its end at ``position``, and publish what was committed meanwhile.

        Nothing may be awaited between the read and this: a commit in between would be noted, and must be seen.
        """
        if self._lost or self._newest is None or self._outbox.shared:
            return False
        self._behind.clear()
        self._caught_up.set()
        for message in self._newest:
            if message.position > position:
                self._lanes.enter(message)
        return True

    async def _is_ready(self) -> bool:
        try:
            async with asyncio.timeout(self._pace.poll_every.total_seconds()):
                await self._publisher.ready()
        except TimeoutError:
            return False
        return True

    async def _rest(self) -> None:
        try:
            async with asyncio.timeout(self._pace.poll_every.total_seconds()):
                await self._noted.wait()
        except TimeoutError:
            return
