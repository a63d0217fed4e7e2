"""Which event is owed to which queue, what an answer of the broker changes, and who does not take events now."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from processor.core.publishing.backlog import Backlog

EXCHANGE: Final = 1
"""The bit of an event that is owed to the exchange, as all are; each queue has one of the bits above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueBindings:
    """The topics that each queue is bound for, by its name."""

    topics: Mapping[str, Sequence[str]]
    complete: bool
    """Whether the exchange certainly routes to no other queue."""


class BindingsUnknown(Exception):
    """The broker does not say which queues are bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusingQueue:
    """A queue that does not take events at the moment."""

    queue: str | None
    """None: one that only the exchange knows of."""
    events: int
    since: datetime
    error: str


@dataclass(slots=True)
class Debt:
    """All that is owed to one queue; ``queue`` is None for the exchange, whose turn comes last."""

    queue: str | None
    bit: int
    backlog: Backlog = field(default_factory=Backlog)
    events: int = 0
    since: datetime | None = None
    """Since when the queue does not take events; None while it does."""
    silent: bool = False
    """It gave no answer the last time."""
    error: str = ""

    def mark_refusing(self, error: str, *, silent: bool, at: datetime) -> None:
        """Remember why the queue did not take an event."""
        self.since = self.since or at
        self.silent = silent
        self.error = error

    def reduce(self) -> None:
        """One event less."""
        self.events -= 1
        if not self.events:
            self.since, self.silent = None, False


class Debts:
    """The debts to all queues that are known, and to the exchange."""

    def __init__(self, bindings: QueueBindings) -> None:
        self.unconfirmed: Final[dict[int, int]] = {}
        """Position to the bits of those who have not confirmed it."""
        self.exchange: Final = Debt(None, EXCHANGE)
        self._silent: set[str] = set()
        self._out_of_reach = False
        self._bindings = bindings
        self._know(bindings)

    @property
    def all(self) -> tuple[Debt, ...]:
        """Every debt, that to the exchange last."""
        return (*self._queues.values(), self.exchange)

    @property
    def refusals(self) -> tuple[RefusingQueue, ...]:
        """Who does not take events at the moment. What the exchange refuses is put down to a queue that is known."""
        known = tuple(filter(None, map(_refusal, self._queues.values())))
        return known or tuple(filter(None, [_refusal(self.exchange)]))

    def route(self, routing_key: str) -> tuple[Debt, ...]:
        """Those queues that events of that key are bound for."""
        route = self._routes.get(routing_key)
        if route is None:
            route = self._routes[routing_key] = tuple(
                debt
                for queue, debt in self._queues.items()
                if any(topic_matches(topic, routing_key) for topic in self._bindings.topics[queue])
            )
        return route

    def bypasses_exchange(self, routing_key: str) -> bool:
        """Whether events of that key go to their queues past the exchange, because one of these takes none.

        Where the exchange may know of more queues, only a silent one is worth that: when one refuses, the exchange
        hands the event to all others.
        """
        route = self.route(routing_key)
        if not route or routing_key in self._silent:
            return bool(route)
        return any(debt.silent or (self._bindings.complete and debt.backlog) for debt in route)

    def mark_silent(self, routing_key: str) -> None:
        """The exchange gave no answer for an event of that key."""
        self._silent.add(routing_key)

    def owe(self, position: int, route: Sequence[Debt]) -> None:
        """Owe an event to each of ``route``, and then to the exchange."""
        self.unconfirmed[position] = sum(debt.bit for debt in route) | EXCHANGE
        for debt in route or (self.exchange,):
            debt.events += 1

    def is_due(self, debt: Debt, position: int) -> bool:
        """Whether an event is owed, and the turn of ``debt`` has come."""
        owed = self.unconfirmed.get(position, 0)
        return owed == EXCHANGE if debt is self.exchange else bool(owed & debt.bit)

    def confirm(self, debt: Debt, position: int, routing_key: str) -> bool:
        """One who was owed an event has it. True if nothing of it is owed any more."""
        owed = self.unconfirmed.get(position, 0)
        if debt is self.exchange:
            self._silent.discard(routing_key)
            self.drop(position)
            return bool(owed)
        if owed & debt.bit:
            self.unconfirmed[position] = owed & ~debt.bit
            debt.reduce()
            if self.unconfirmed[position] == EXCHANGE:
                self.exchange.events += 1
                self.exchange.backlog.add(position)
        return False

    def drop(self, position: int) -> None:
        """Owe an event to nobody."""
        owed = self.unconfirmed.pop(position, 0)
        for debt in self.all:
            if owed == EXCHANGE if debt is self.exchange else owed & debt.bit:
                debt.reduce()
        if not self.unconfirmed:
            self._silent.clear()

    def clear(self) -> None:
        """Owe nothing."""
        self.unconfirmed.clear()
        self._silent.clear()
        for debt in self.all:
            debt.backlog, debt.events, debt.silent, debt.since = Backlog(), 0, False, None

    def learn(self, bindings: QueueBindings) -> bool:
        """Know other queues from now on. True if events were owed that are not owed any more."""
        if self._out_of_reach or bindings == self._bindings:
            return False
        if bindings.topics == self._bindings.topics:
            self._bindings = bindings
            return False
        owed = bool(self.unconfirmed)
        self.clear()
        self._know(bindings)
        return owed

    def forget_queues(self) -> bool:
        """Owe everything to the exchange alone, now and for good. False: that is so already."""
        if self._out_of_reach:
            return False
        self._out_of_reach = True
        positions = sorted(self.unconfirmed)
        self.clear()
        self._know(QueueBindings(topics={}, complete=False))
        for position in positions:
            self.owe(position, ())
            self.exchange.backlog.add(position)
        return True

    def _know(self, bindings: QueueBindings) -> None:
        self._bindings = bindings
        self._queues = {queue: Debt(queue, EXCHANGE << number) for number, queue in enumerate(bindings.topics, start=1)}
        self._routes: dict[str, tuple[Debt, ...]] = {}


def _refusal(debt: Debt) -> RefusingQueue | None:
    if debt.since is None:
        return None
    return RefusingQueue(queue=debt.queue, events=debt.events, since=debt.since, error=debt.error)


def topic_matches(binding: str, routing_key: str) -> bool:
    """Whether a topic exchange routes a key by a binding: ``*`` is one word, ``#`` any number of words.

    Source: https://www.rabbitmq.com/docs/exchanges#topic
    """
    pattern = binding.split(".") if binding else []
    reached = _past_hashes({0}, pattern)
    for word in routing_key.split(".") if routing_key else ():
        advanced = {at + 1 for at in reached if at < len(pattern) and pattern[at] in {word, "*"}}
        stayed = {at for at in reached if at < len(pattern) and pattern[at] == "#"}
        reached = _past_hashes(advanced | stayed, pattern)
    return len(pattern) in reached


def _past_hashes(reached: set[int], pattern: list[str]) -> set[int]:
    """The positions ``reached``, and those behind each ``#`` there, which may stand for nothing."""
    closed = set(reached)
    for at, word in enumerate(pattern):
        if word == "#" and at in closed:
            closed.add(at + 1)
    return closed
