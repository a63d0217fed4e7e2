"""Events that the broker did not confirm: owed to each of their queues, and published to each queue by itself.

A negative confirm says that *some* queue refused the event, a missing confirm that some queue is silent; neither says
what the other queues did. So the event is published to each of its queues past the exchange, and each queue answers for
itself. A queue that refuses or is silent is retried rarely, and the events that it is owed wait; the other queues go
on. An event that all of them confirmed is published to the exchange once more, for queues that are not known here; that
confirm settles it.

While a queue is silent, later events for it are not published to the exchange first: they would wait there for that
queue, whatever other queues they are bound for (see `processor.broker.channels`). The same holds while a queue refuses,
if all queues are certainly known: so the queue gets its events in order.

The broker is asked which queues are bound, at the start and while a queue does not take events; until it answers, the
settings count. Only positions are kept; an event that is retried is read from the outbox.
"""

import asyncio
import random
from asyncio import Future
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

import structlog

from processor.broker.port import (
    Disconnected,
    Publisher,
    PublishError,
    Queues,
    Unanswered,
    Unpermitted,
    Unroutable,
    Unsendable,
)
from processor.core.errors import StoreError
from processor.core.publishing.debts import BindingsUnknown, Debt, Debts, RefusingQueue
from processor.core.publishing.message import OutboxMessage
from processor.store.ports import Outbox

_LOG_EVERY, _LOOK_EVERY, _ASK_EVERY = 60.0, 1.0, 10.0
"""Seconds."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Round:
    """An event that was published to several queues at once, whose answers are pending."""

    open: int
    done: Callable[[bool], None]
    lost: bool = False


class Arrears:
    """The events owed to queues. `take` is called for each event that was not confirmed; `run` retries."""

    def __init__(
        self,
        outbox: Outbox,
        publisher: Publisher,
        queues: Queues,
        *,
        on_published: Callable[[int], None],
        on_forgotten: Callable[[], None],
        clock: Callable[[], datetime],
    ) -> None:
        """``on_published`` is called with each settled position, ``on_forgotten`` when all others are owed no more."""
        self._debts = Debts(queues.expected)
        self._queues = queues
        self.owed: Final = self._debts.unconfirmed
        """The positions of all owed events, as keys."""
        self._outbox = outbox
        self._publisher = publisher
        self._on_published = on_published
        self._on_forgotten = on_forgotten
        self._clock = clock
        self._time = asyncio.get_running_loop().time
        self._changed = asyncio.Event()
        self._uncertain = asyncio.Event()
        self._logged_at: dict[str | None, float] = {}
        self._refusing: set[str | None] = set()

    @property
    def refusals(self) -> tuple[RefusingQueue, ...]:
        """The queues that do not take events now."""
        return self._debts.refusals

    def diverts(self, routing_key: str) -> bool:
        """Whether events with this routing key are to be given to `take` at once, since one of their queues takes
        none.
        """
        return self._debts.bypasses_exchange(routing_key)

    def take(self, row: OutboxMessage, error: PublishError | None, done: Callable[[bool], None]) -> None:
        """Owe an event that the exchange did not confirm, or that was not published to the exchange.

        ``done`` is called once every queue that was not in arrears before has answered: with True if the connection was
        lost; then the event is owed no more and counts as not published.
        """
        route = () if isinstance(error, Unsendable) else self._debts.route(row.message.routing_key)
        self._debts.owe(row.position, route)
        if error is not None:
            self._await_late_confirm(self._debts.exchange, row, error)
        if error is not None and not route:
            self._refuse(self._debts.exchange, row.position, error)
        self._publish_to_queues(row, route, done)

    def clear(self) -> None:
        """Owe nothing any more: another instance publishes."""
        self._debts.clear()

    async def run(self, allowed: Callable[[], bool]) -> None:
        """Retry what is owed, when it is due and ``allowed``, until cancelled."""
        while True:
            await self._wait()
            self._log_refusals()
            await self._publisher.ready()
            if not allowed():
                await asyncio.sleep(_LOOK_EVERY)
                continue
            for debt in self._debts.all:
                await self._try(debt)

    async def keep_asking(self) -> None:
        """Ask the broker which queues are bound, at the start and while a queue does not take events."""
        while True:
            await self._publisher.ready()
            self._uncertain.clear()
            try:
                if self._debts.learn(await self._queues.ask()):
                    self._on_forgotten()
            except BindingsUnknown as error:
                log.info("outbox.queues_unknown", error=str(error))
            await asyncio.sleep(_ASK_EVERY)
            await self._uncertain.wait()

    # The first publish to each queue.

    def _publish_to_queues(self, row: OutboxMessage, route: Iterable[Debt], done: Callable[[bool], None]) -> None:
        ready = []
        for debt in route:
            if debt.backlog:
                debt.backlog.add(row.position)
            else:
                ready.append(debt)
        if not ready:
            asyncio.get_running_loop().call_soon(done, False)
            return
        pending = _Round(len(ready), done)
        for debt in ready:
            future = self._publisher.publish(row.message, debt.queue)
            future.add_done_callback(partial(self._on_first_answer, debt, row, pending))

    def _on_first_answer(self, debt: Debt, row: OutboxMessage, pending: _Round, future: "Future[None]") -> None:
        match error_of(future):
            case None | Unroutable():
                self._confirm(debt, row)
            case Disconnected():
                pending.lost = True
            case Unpermitted() as error:
                self._forget_queues(error)
            case error:
                self._await_late_confirm(debt, row, error)
                self._refuse(debt, row.position, error)
        pending.open -= 1
        if pending.open:
            return
        if pending.lost:
            self._debts.drop(row.position)
        pending.done(pending.lost)

    # Retries.

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
            rows = {row.position: row for row in await self._outbox.read_at(positions)}
        except StoreError as error:
            log.error("outbox.read_failed", error=str(error))
            for position in positions:
                self._settle(debt, position, taken=False)
            return
        for position in positions:
            if position in rows:
                future = self._publisher.publish(rows[position].message, debt.queue)
                future.add_done_callback(partial(self._on_answer, debt, rows[position]))
            else:
                self._debts.drop(position)
                self._settle(debt, position, taken=True)

    def _on_answer(self, debt: Debt, row: OutboxMessage, future: "Future[None]") -> None:
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
                self._await_late_confirm(debt, row, error)
                self._blame(debt, error)
                self._settle(debt, row.position, taken=False)

    def _settle(self, debt: Debt, position: int, *, taken: bool | None) -> None:
        debt.backlog.settle(position, self._time(), random.random(), taken=taken)  # noqa: S311  jitter
        self._changed.set()

    # Answers of the broker.

    def _confirm(self, debt: Debt, row: OutboxMessage) -> None:
        if self._debts.confirm(debt, row.position, row.message.routing_key):
            self._on_published(row.position)
        self._changed.set()

    def _refuse(self, debt: Debt, position: int, error: PublishError) -> None:
        debt.backlog.refuse(position, self._time(), random.random())  # noqa: S311  jitter
        self._blame(debt, error)
        self._changed.set()

    def _blame(self, debt: Debt, error: PublishError) -> None:
        debt.mark_refusing(str(error), silent=isinstance(error, Unanswered), at=self._clock())
        self._uncertain.set()

    def _await_late_confirm(self, debt: Debt, row: OutboxMessage, error: PublishError) -> None:
        """Settle the event if its confirm arrives after all."""
        if not isinstance(error, Unanswered):
            return
        if debt is self._debts.exchange:
            self._debts.mark_silent(row.message.routing_key)
        error.late.add_done_callback(partial(self._on_late_confirm, debt, row))

    def _on_late_confirm(self, debt: Debt, row: OutboxMessage, late: "Future[None]") -> None:
        if late.cancelled():
            return
        self._confirm(debt, row)
        debt.backlog.wake(self._time())

    def _forget_queues(self, error: Unpermitted) -> None:
        if self._debts.forget_queues():
            log.error("outbox.queue_access_denied", error=str(error), remedy="grant write permission on amq.default")
        self._changed.set()

    def _log_refusals(self) -> None:
        """Log each queue that does not take events, once a minute."""
        now, refusals = self._time(), {refusal.queue: refusal for refusal in self.refusals}
        for queue in self._refusing - refusals.keys():
            self._refusing.discard(queue)
            log.info("outbox.recovered", queue=queue)
        for queue, refusal in refusals.items():
            if now - self._logged_at.get(queue, -_LOG_EVERY) >= _LOG_EVERY:
                self._logged_at[queue] = now
                self._refusing.add(queue)
                log.error("outbox.publish_failed", queue=queue, events=refusal.events, error=refusal.error)


def error_of(future: "Future[None]") -> PublishError | None:
    """The error of a publish; None if it succeeded."""
    if future.cancelled():
        return Disconnected("the publisher was closed")
    error = future.exception()
    if error is None or isinstance(error, PublishError):
        return error
    return PublishError(f"{type(error).__name__}: {error}")
