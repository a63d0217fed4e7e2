"""Events that the broker did not confirm at once: owed to each of their queues, and handed to each by itself.

A refusal of the broker says that *some* queue refused, and no answer that some queue is silent; neither says what
became of the others. So such an event goes to each queue that it is bound for past the exchange, and each answers for
itself. A queue that refuses or is silent has what it is owed wait, and is tried rarely; the others go on. What all of
them have confirmed is published to the exchange once more, for queues that nobody here knows of: that confirm ends it.

While a queue is silent, later events that are bound for it are not published to the exchange at first: they would wait
there for it, whatever else they are bound for (see `processor.broker.channels`). Nor are they while one refuses, if
it is certain that all queues are known: so it gets its events in order.

Which queues are bound is asked of the broker, at the start and in trouble; until it says so, it is taken from the
settings. Only positions are kept; what is tried again is read from the outbox.
"""

import asyncio
import random
from asyncio import Future
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, Protocol

import structlog

from processor.broker.port import (
    Disconnected,
    Publisher,
    PublishError,
    Unanswered,
    Unpermitted,
    Unroutable,
    Unsendable,
)
from processor.core.errors import StoreError
from processor.core.publishing.debts import Bindings, BindingsUnknown, Debt, Debts, Refusal
from processor.core.publishing.message import OutboxMessage

_TELL_EVERY: Final = 60.0
_LOOK_EVERY: Final = 1.0
_ASK_EVERY: Final = 10.0

log = structlog.get_logger()


class Queues(Protocol):
    """Which queues the exchange routes to."""

    @property
    def expected(self) -> Bindings:
        """Those that there should be."""
        ...

    async def ask(self) -> Bindings:
        """Those that there are. Raises `BindingsUnknown`."""
        ...


class Waiting(Protocol):
    """The part of the outbox that is read here."""

    async def waiting(self, positions: Sequence[int]) -> Sequence[OutboxMessage]:
        """Those of the messages at ``positions`` that are unpublished. Raises `StoreError`."""
        ...


@dataclass(slots=True)
class _Round:
    """An event that was handed to several queues at once, and who waits for their answers."""

    open: int
    done: Callable[[bool], None]
    lost: bool = False


class Arrears:
    """What is owed to whom. `take` is called for each event that was not confirmed, `run` does the rest."""

    def __init__(
        self,
        outbox: Waiting,
        publisher: Publisher,
        queues: Queues,
        *,
        on_published: Callable[[int], None],
        on_forgotten: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> None:
        """``on_published`` hears the position of what is done, ``on_forgotten`` that all else is owed no more."""
        self._debts = Debts(queues.expected)
        self._queues = queues
        self.owed: Final = self._debts.owed
        """The positions of what is owed to anybody, as keys."""
        self._outbox = outbox
        self._publisher = publisher
        self._on_published = on_published
        self._on_forgotten = on_forgotten
        self._clock = clock
        self._time = asyncio.get_running_loop().time
        self._changed = asyncio.Event()
        self._in_need = asyncio.Event()
        self._told_at: dict[str | None, float] = {}
        self._in_trouble: set[str | None] = set()

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Who does not take events at the moment."""
        return self._debts.refusals

    def diverts(self, routing_key: str) -> bool:
        """Whether events of that key are to be taken here at once, because one of their queues takes none."""
        return self._debts.diverts(routing_key)

    def take(self, row: OutboxMessage, error: PublishError | None, done: Callable[[bool], None]) -> None:
        """Owe an event that the exchange did not confirm, or was not given.

        ``done`` is called once every queue has answered that is not in arrears already: with True if the connection was
        lost, and the event therefore is not owed any more but as if it was never published.
        """
        route = () if isinstance(error, Unsendable) else self._debts.route(row.message.routing_key)
        self._debts.owe(row.position, route)
        if error is not None:
            self._listen(self._debts.exchange, row, error)
        if error is not None and not route:
            self._refuse(self._debts.exchange, row.position, error)
        self._hand_over(row, route, done)

    def clear(self) -> None:
        """Owe nothing more: somebody else publishes."""
        self._debts.clear()

    async def run(self, allowed: Callable[[], bool]) -> None:
        """Try again what is owed, whenever it is due and ``allowed``, until cancelled."""
        while True:
            await self._wait()
            self._tell()
            await self._publisher.ready()
            if not allowed():
                await asyncio.sleep(_LOOK_EVERY)
                continue
            for debt in self._debts.all:
                await self._try(debt)

    async def keep_asking(self) -> None:
        """Have the broker say which queues are bound, at the start and whenever one does not take events."""
        while True:
            await self._publisher.ready()
            self._in_need.clear()
            try:
                if self._debts.learn(await self._queues.ask()):
                    self._on_forgotten()
            except BindingsUnknown as error:
                log.info("outbox.queues_unknown", error=str(error))
            await asyncio.sleep(_ASK_EVERY)
            await self._in_need.wait()

    # Handing over for the first time.

    def _hand_over(self, row: OutboxMessage, route: Iterable[Debt], done: Callable[[bool], None]) -> None:
        ready = []
        for debt in route:
            if debt.backlog:
                debt.backlog.add(row.position)
            else:
                ready.append(debt)
        if not ready:
            asyncio.get_running_loop().call_soon(done, False)
            return
        asked = _Round(len(ready), done)
        for debt in ready:
            future = self._publisher.publish(row.message, debt.queue)
            future.add_done_callback(partial(self._hear_first, debt, row, asked))

    def _hear_first(self, debt: Debt, row: OutboxMessage, asked: _Round, future: "Future[None]") -> None:
        match error_of(future):
            case None | Unroutable():
                self._confirm(debt, row)
            case Disconnected():
                asked.lost = True
            case Unpermitted() as error:
                self._forget_queues(error)
            case error:
                self._listen(debt, row, error)
                self._refuse(debt, row.position, error)
        asked.open -= 1
        if asked.open:
            return
        if asked.lost:
            self._debts.drop(row.position)
        asked.done(asked.lost)

    # Trying again.

    async def _wait(self) -> None:
        due = [debt.backlog.due for debt in self._debts.all]
        self._changed.clear()
        try:
            async with asyncio.timeout_at(min((each for each in due if each is not None), default=None)):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _try(self, debt: Debt) -> None:
        positions = debt.backlog.take(self._time(), partial(self._debts.is_due, debt))
        if not positions:
            return
        try:
            rows = {row.position: row for row in await self._outbox.waiting(positions)}
        except StoreError as error:
            log.error("outbox.read_failed", error=str(error))
            for position in positions:
                self._settle(debt, position, taken=False)
            return
        for position in positions:
            if position in rows:
                future = self._publisher.publish(rows[position].message, debt.queue)
                future.add_done_callback(partial(self._hear_again, debt, rows[position]))
            else:
                self._debts.drop(position)
                self._settle(debt, position, taken=True)

    def _hear_again(self, debt: Debt, row: OutboxMessage, future: "Future[None]") -> None:
        match error_of(future):
            case None:
                self._confirm(debt, row)
                self._settle(debt, row.position, taken=True)
            case Unroutable() if debt.queue is not None:
                self._confirm(debt, row)
                self._settle(debt, row.position, taken=True)
            case Disconnected():
                self._settle(debt, row.position, taken=None)
            case Unpermitted() as error:
                self._forget_queues(error)
            case error:
                self._listen(debt, row, error)
                self._blame(debt, error)
                self._settle(debt, row.position, taken=False)

    def _settle(self, debt: Debt, position: int, *, taken: bool | None) -> None:
        debt.backlog.settle(position, self._time(), random.random(), taken=taken)  # noqa: S311  jitter
        self._changed.set()

    # What answers mean.

    def _confirm(self, debt: Debt, row: OutboxMessage) -> None:
        if self._debts.confirm(debt, row.position, row.message.routing_key):
            self._on_published(row.position)
        self._changed.set()

    def _refuse(self, debt: Debt, position: int, error: PublishError) -> None:
        debt.backlog.refuse(position, self._time(), random.random())  # noqa: S311  jitter
        self._blame(debt, error)
        self._changed.set()

    def _blame(self, debt: Debt, error: PublishError) -> None:
        debt.blame(str(error), silent=isinstance(error, Unanswered), at=self._clock())
        self._in_need.set()

    def _listen(self, debt: Debt, row: OutboxMessage, error: PublishError) -> None:
        """Hear of a confirm that comes after all."""
        if not isinstance(error, Unanswered):
            return
        if debt is self._debts.exchange:
            self._debts.silence(row.message.routing_key)
        error.late.add_done_callback(partial(self._hear_late, debt, row))

    def _hear_late(self, debt: Debt, row: OutboxMessage, late: "Future[None]") -> None:
        if late.cancelled():
            return
        self._confirm(debt, row)
        debt.backlog.wake(self._time())

    def _forget_queues(self, error: Unpermitted) -> None:
        if self._debts.forget_queues():
            log.error("outbox.queue_access_denied", error=str(error), remedy="grant write permission on amq.default")
        self._changed.set()

    def _tell(self) -> None:
        """Once a minute for each queue, however much it refuses."""
        now, refusals = self._time(), {refusal.queue: refusal for refusal in self.refusals}
        for queue in self._in_trouble - refusals.keys():
            self._in_trouble.discard(queue)
            log.info("outbox.recovered", queue=queue)
        for queue, refusal in refusals.items():
            if now - self._told_at.get(queue, -_TELL_EVERY) >= _TELL_EVERY:
                self._told_at[queue] = now
                self._in_trouble.add(queue)
                log.error("outbox.publish_failed", queue=queue, events=refusal.events, error=refusal.error)


def error_of(future: "Future[None]") -> PublishError | None:
    """Why a publish failed; None if it did not."""
    if future.cancelled():
        return Disconnected("the publisher was closed")
    error = future.exception()
    if error is None or isinstance(error, PublishError):
        return error
    return PublishError(f"{type(error).__name__}: {error}")
