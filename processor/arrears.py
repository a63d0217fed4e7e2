"""Events that the broker did not confirm at once: owed to each of their queues, and handed to each by itself.

A refusal of the broker says that *some* queue refused, and no answer that some queue is silent; neither says what became
of the others. So such an event goes to each queue that it is bound for past the exchange, and each answers for itself.
A queue that refuses or is silent has what it is owed wait, and is tried rarely; the others go on. What all of them have
confirmed is published to the exchange once more, for queues that nobody here knows of: that confirm ends it.

While a queue is silent, later events that are bound for it are not published to the exchange at all: they would wait
there for it, whatever else they are bound for (see `processor.publisher.channels`).

Only positions are kept; what is tried again is read from the outbox.
"""

import asyncio
import random
from asyncio import Future
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Final, Protocol

import structlog

from processor.core.backlog import Backlog
from processor.core.errors import StoreError
from processor.core.topic import topic_matches
from processor.publisher.port import (
    Disconnected,
    Publisher,
    PublishError,
    Unanswered,
    Unpermitted,
    Unroutable,
    Unsendable,
)
from processor.store.entry import OutboxMessage

_EXCHANGE: Final = 1
"""The bit of an event that is owed to the exchange, as all here are; each queue has one of the bits above."""
_TELL_EVERY: Final = 60.0
_TELL_FIRST_AFTER: Final = 1.0

log = structlog.get_logger()


class Waiting(Protocol):
    """The part of the outbox that is read here."""

    async def waiting(self, positions: Sequence[int]) -> Sequence[OutboxMessage]:
        """Those of the messages at ``positions`` that are unpublished. Raises `StoreError`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A queue that does not take events at the moment."""

    queue: str | None
    """None: one that is bound to the exchange without the settings' knowledge."""
    events: int
    since: datetime
    error: str


@dataclass(slots=True)
class _Line:
    """The way to one queue; ``queue`` is None for the exchange."""

    queue: str | None
    bit: int
    backlog: Backlog = field(default_factory=Backlog)
    owed: int = 0
    silent: bool = False
    since: datetime | None = None
    error: str = ""


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
        bindings: Mapping[str, Sequence[str]],
        *,
        on_published: Callable[[int], None],
        clock: Callable[[], datetime],
    ) -> None:
        """``bindings`` names the topics of each known queue; ``on_published`` hears the position of what is done."""
        self.owed: Final[dict[int, int]] = {}
        """Position to the bits of those who have not confirmed it."""
        self._outbox = outbox
        self._publisher = publisher
        self._bindings = dict(bindings)
        self._on_published = on_published
        self._clock = clock
        self._time = asyncio.get_running_loop().time
        self._exchange = _Line(None, _EXCHANGE)
        self._lines = {queue: _Line(queue, _EXCHANGE << number) for number, queue in enumerate(bindings, start=1)}
        self._routes: dict[str, tuple[_Line, ...]] = {}
        self._silent: set[str] = set()
        self._changed = asyncio.Event()
        self._told_at: float | None = None
        self._told = False

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """Who does not take events at the moment."""
        return tuple(
            Refusal(queue=line.queue, events=line.owed, since=line.since, error=line.error)
            for line in (self._exchange, *self._lines.values())
            if line.since is not None
        )

    def diverts(self, routing_key: str) -> bool:
        """Whether an event goes to its queues past the exchange, because one of them is silent."""
        route = self._route(routing_key)
        return bool(route) and (routing_key in self._silent or any(line.silent for line in route))

    def take(self, row: OutboxMessage, error: PublishError | None, done: Callable[[bool], None]) -> None:
        """Owe an event that the exchange did not confirm, or was not given.

        ``done`` is called once every queue has answered that is not in arrears already: with True if the connection was
        lost, and the event therefore is not owed any more but as if it was never published.
        """
        position, key = row.position, row.message.routing_key
        route = () if isinstance(error, Unsendable) else self._route(key)
        self.owed[position] = sum(line.bit for line in route) | _EXCHANGE
        for line in route:
            line.owed += 1
        if isinstance(error, Unanswered):
            self._silent.add(key)
            error.late.add_done_callback(partial(self._hear_late, self._exchange, row))
        if not route and error is not None:
            self._exchange.owed += 1
            self._refuse(self._exchange, position, error)
        self._hand_over(row, route, done)

    def clear(self) -> None:
        """Owe nothing more: somebody else publishes."""
        self.owed.clear()
        for line in (self._exchange, *self._lines.values()):
            line.backlog, line.owed, line.silent, line.since = Backlog(), 0, False, None
        self._silent.clear()

    async def run(self, allowed: Callable[[], bool]) -> None:
        """Try again what is owed, whenever it is due and ``allowed``, until cancelled."""
        while True:
            await self._wait()
            self._tell()
            await self._publisher.ready()
            if allowed():
                await self._try()
            else:
                await asyncio.sleep(_TELL_FIRST_AFTER)

    # Handing over for the first time.

    def _hand_over(self, row: OutboxMessage, route: Iterable[_Line], done: Callable[[bool], None]) -> None:
        ready = []
        for line in route:
            if line.backlog:
                line.backlog.add(row.position)
            else:
                ready.append(line)
        if not ready:
            asyncio.get_running_loop().call_soon(done, False)
            return
        asked = _Round(len(ready), done)
        for line in ready:
            future = self._publisher.publish(row.message, line.queue)
            future.add_done_callback(partial(self._hear_first, line, row, asked))

    def _hear_first(self, line: _Line, row: OutboxMessage, asked: _Round, future: "Future[None]") -> None:
        match error_of(future):
            case None | Unroutable():
                self._confirm(line, row)
            case Disconnected():
                asked.lost = True
            case Unpermitted() as error:
                self._forgo_queues(error)
            case error:
                self._refuse(line, row.position, error)
                self._listen(line, row, error)
        asked.open -= 1
        if not asked.open:
            if asked.lost:
                self._drop(row.position)
            asked.done(asked.lost)

    # Trying again.

    async def _wait(self) -> None:
        due = [line.backlog.due for line in (self._exchange, *self._lines.values())]
        first = min((each for each in due if each is not None), default=None)
        self._changed.clear()
        try:
            async with asyncio.timeout_at(first):
                await self._changed.wait()
        except TimeoutError:
            return

    async def _try(self) -> None:
        for line in (*self._lines.values(), self._exchange):
            positions = line.backlog.take(self._time(), partial(self._is_owed, line))
            if positions:
                await self._repeat(line, positions)

    def _is_owed(self, line: _Line, position: int) -> bool:
        owed = self.owed.get(position, 0)
        return owed == _EXCHANGE if line is self._exchange else bool(owed & line.bit)

    async def _repeat(self, line: _Line, positions: Sequence[int]) -> None:
        try:
            rows = {row.position: row for row in await self._outbox.waiting(positions)}
        except StoreError as error:
            log.error("outbox.unreadable", error=str(error))
            for position in positions:
                self._settle(line, position, taken=False)
            return
        for position in positions:
            row = rows.get(position)
            if row is None:
                self._drop(position)
                self._settle(line, position, taken=True)
                continue
            future = self._publisher.publish(row.message, line.queue)
            future.add_done_callback(partial(self._hear_again, line, row))

    def _hear_again(self, line: _Line, row: OutboxMessage, future: "Future[None]") -> None:
        error = error_of(future)
        if error is None or (isinstance(error, Unroutable) and line is not self._exchange):
            self._confirm(line, row)
            self._settle(line, row.position, taken=True)
            return
        if isinstance(error, Unpermitted):
            self._forgo_queues(error)
            return
        if isinstance(error, Disconnected):
            self._settle(line, row.position, taken=None)
            return
        self._blame(line, error)
        self._listen(line, row, error)
        self._settle(line, row.position, taken=False)

    def _settle(self, line: _Line, position: int, *, taken: bool | None) -> None:
        line.backlog.settle(position, self._time(), random.random(), taken=taken)  # noqa: S311  jitter
        self._changed.set()

    # What answers mean.

    def _confirm(self, line: _Line, row: OutboxMessage) -> None:
        owed = self.owed.get(row.position, 0)
        if line is self._exchange and owed:
            self._silent.discard(row.message.routing_key)
            self._drop(row.position)
            self._on_published(row.position)
        elif owed & line.bit:
            self.owed[row.position] = owed & ~line.bit
            self._reduce(line)
            if owed & ~line.bit == _EXCHANGE:
                self._exchange.owed += 1
                self._exchange.backlog.add(row.position)
                self._changed.set()
        line.silent = False

    def _drop(self, position: int) -> None:
        owed = self.owed.pop(position, 0)
        for line in self._lines.values():
            if owed & line.bit:
                self._reduce(line)
        if owed == _EXCHANGE:
            self._reduce(self._exchange)
        if not self.owed:
            self._silent.clear()

    def _reduce(self, line: _Line) -> None:
        line.owed -= 1
        if not line.owed:
            line.since, line.silent = None, False

    def _refuse(self, line: _Line, position: int, error: PublishError) -> None:
        line.backlog.refuse(position, self._time(), random.random())  # noqa: S311  jitter
        self._blame(line, error)
        self._changed.set()

    def _blame(self, line: _Line, error: PublishError) -> None:
        line.since = line.since or self._clock()
        line.silent = isinstance(error, Unanswered)
        line.error = str(error)

    def _listen(self, line: _Line, row: OutboxMessage, error: PublishError) -> None:
        """Hear of a confirm that comes after all."""
        if isinstance(error, Unanswered):
            if line is self._exchange:
                self._silent.add(row.message.routing_key)
            error.late.add_done_callback(partial(self._hear_late, line, row))

    def _hear_late(self, line: _Line, row: OutboxMessage, late: "Future[None]") -> None:
        if late.cancelled():
            return
        self._confirm(line, row)
        line.backlog.wake(self._time())
        self._changed.set()

    def _forgo_queues(self, error: Unpermitted) -> None:
        """From now on all goes through the exchange alone."""
        if not self._lines:
            return
        log.error("outbox.queues_unpermitted", error=str(error), remedy="grant write permission on amq.default")
        self._lines, self._routes = {}, {}
        self._exchange.backlog, self._exchange.owed = Backlog(), len(self.owed)
        for position in sorted(self.owed):
            self.owed[position] = _EXCHANGE
            self._exchange.backlog.add(position)
        self._changed.set()

    def _route(self, routing_key: str) -> tuple[_Line, ...]:
        route = self._routes.get(routing_key)
        if route is None:
            route = self._routes[routing_key] = tuple(
                line
                for queue, line in self._lines.items()
                if any(topic_matches(binding, routing_key) for binding in self._bindings[queue])
            )
        return route

    def _tell(self) -> None:
        """At most once a minute, however much is refused."""
        now, refusals = self._time(), self.refusals
        if self._told and not self.owed:
            self._told = False
            log.info("outbox.recovered")
        if not refusals or (self._told_at is not None and now - self._told_at < _TELL_EVERY):
            return
        self._told, self._told_at = True, now
        log.error(
            "outbox.publish_failed",
            events=len(self.owed),
            queues={refusal.queue or "unknown": refusal.events for refusal in refusals},
            error=refusals[0].error,
        )


def error_of(future: "Future[None]") -> PublishError | None:
    """Why a publish failed; None if it did not."""
    if future.cancelled():
        return Disconnected("the publisher was closed")
    error = future.exception()
    if error is None or isinstance(error, PublishError):
        return error
    return PublishError(f"{type(error).__name__}: {error}")
