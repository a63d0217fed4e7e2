"""Which queue still has to confirm which event, and which queues refuse events.

An event is a debt to each queue that it is routed to, and then to the exchange, until they confirm it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from processor.core.errors import ProcessorError
from processor.core.publishing.backlog import Backlog

EXCHANGE: Final = 1
"""The bit of the exchange, which has to confirm every event; each queue has one of the higher bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueBindings:
    """The topics of each queue's bindings, by the queue's name."""

    topics: Mapping[str, Sequence[str]]
    complete: bool
    """Whether these are certainly all queues that the exchange routes to."""


class BindingsUnknown(ProcessorError):
    """The broker does not tell which queues are bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusingQueue:
    """A queue that refuses events at present."""

    queue: str | None
    """None for a queue that only the exchange knows."""
    events: int
    since: datetime
    error: str


@dataclass(slots=True)
class Debt:
    """The events that one queue has not confirmed. ``queue`` is None for the exchange, which comes last."""

    queue: str | None
    bit: int
    backlog: Backlog = field(default_factory=Backlog)
    events: int = 0
    since: datetime | None = None
    """Since when the queue refuses events; None while it takes them."""
    silent: bool = False
    """The queue did not answer the last time."""
    error: str = ""

    def mark_refusing(self, error: str, *, silent: bool, at: datetime) -> None:
        """Record that the queue did not take an event, and why."""
        self.since = self.since or at
        self.silent = silent
        self.error = error

    def reduce(self) -> None:
        """Count one event less."""
        self.events -= 1
        if not self.events:
            self.since, self.silent = None, False


class Debts:
    """The debts to all known queues and to the exchange."""

    def __init__(self, bindings: QueueBindings) -> None:
        self.unconfirmed: Final[dict[int, int]] = {}
        """Position of an event to the bits of the queues that have not confirmed it."""
        self.exchange: Final = Debt(None, EXCHANGE)
        self._silent: set[str] = set()
        self._out_of_reach = False
        self._bindings = bindings
        self._know(bindings)

    @property
    def all(self) -> tuple[Debt, ...]:
        """Every debt, the exchange last."""
        return (*self._queues.values(), self.exchange)

    @property
    def refusals(self) -> tuple[RefusingQueue, ...]:
        """The queues that refuse events. The exchange is among them only if no known queue refuses."""
        known = tuple(filter(None, map(_refusal, self._queues.values())))
        return known or tuple(filter(None, [_refusal(self.exchange)]))

    def route(self, routing_key: str) -> tuple[Debt, ...]:
        """The debts to the queues that events with that key are routed to."""
        route = self._routes.get(routing_key)
        if route is None:
            route = self._routes[routing_key] = tuple(
                debt
                for queue, debt in self._queues.items()
                if any(topic_matches(topic, routing_key) for topic in self._bindings.topics[queue])
            )
        return route

    def bypasses_exchange(self, routing_key: str) -> bool:
        """Whether events with that key go to their queues directly, since one of the queues takes none.

        Where the exchange may route to more queues, this holds only for a queue that does not answer: when a queue
        refuses, the exchange still hands the event to all others.
        """
        route = self.route(routing_key)
        if not route or routing_key in self._silent:
            return bool(route)
        return any(debt.silent or (self._bindings.complete and debt.backlog) for debt in route)

    def mark_silent(self, routing_key: str) -> None:
        """Record that the exchange did not answer for an event with that key."""
        self._silent.add(routing_key)

    def owe(self, position: int, route: Sequence[Debt]) -> None:
        """Add an event that each of ``route``, and then the exchange, has to confirm."""
        self.unconfirmed[position] = sum(debt.bit for debt in route) | EXCHANGE
        for debt in route or (self.exchange,):
            debt.events += 1

    def is_due(self, debt: Debt, position: int) -> bool:
        """Whether ``debt`` has to confirm the event now. The exchange has to after all queues."""
        owed = self.unconfirmed.get(position, 0)
        return owed == EXCHANGE if debt is self.exchange else bool(owed & debt.bit)

    def confirm(self, debt: Debt, position: int, routing_key: str) -> bool:
        """Record that ``debt`` confirmed an event. True if all have confirmed it."""
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
        """Forget an event."""
        owed = self.unconfirmed.pop(position, 0)
        for debt in self.all:
            if owed == EXCHANGE if debt is self.exchange else owed & debt.bit:
                debt.reduce()
        if not self.unconfirmed:
            self._silent.clear()

    def clear(self) -> None:
        """Forget all events."""
        self.unconfirmed.clear()
        self._silent.clear()
        for debt in self.all:
            debt.backlog, debt.events, debt.silent, debt.since = Backlog(), 0, False, None

    def learn(self, bindings: QueueBindings) -> bool:
        """Replace the bindings. True if that made the debts forget events."""
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
        """Publish to the exchange alone from now on. False if that was so already."""
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
    """``reached`` with the positions behind each ``#``, which may stand for no word."""
    extended = set(reached)
    for at, word in enumerate(pattern):
        if word == "#" and at in extended:
            extended.add(at + 1)
    return extended
