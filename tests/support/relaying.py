"""What the relay works with in tests: an outbox in memory, and a publisher that obeys the test."""

import asyncio
from asyncio import Future
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Self

from processor.broker.port import PublishError
from processor.core.errors import StoreUnavailable
from processor.core.payload.entry import Commit
from processor.core.publishing.debts import BindingsUnknown, QueueBindings
from processor.core.publishing.message import Message, OutboxMessage


@dataclass
class MemoryOutbox:
    """The outbox port over a dictionary."""

    rows: dict[int, OutboxMessage] = field(default_factory=dict)
    published: set[int] = field(default_factory=set)
    shared: bool = False
    leader: bool = True
    broken: bool = False
    reads: int = 0
    refusals: int = 0

    def commit(self, *payloads: str) -> Commit:
        """One new event for each payload named."""
        return Commit(messages=[self._insert(payload) for payload in payloads])

    async def read(self, *, after: int, limit: int) -> Sequence[OutboxMessage]:
        self._check()
        self.reads += 1
        rows = [row for position, row in self.rows.items() if position > after and position not in self.published]
        return rows[:limit]

    async def read_positions(self, *, after: int, limit: int) -> Sequence[int]:
        self._check()
        return [each for each in self.rows if each > after and each not in self.published][:limit]

    async def read_at(self, positions: Sequence[int]) -> Sequence[OutboxMessage]:
        self._check()
        return [self.rows[position] for position in positions if position not in self.published]

    async def mark_published(self, positions: Sequence[int]) -> None:
        self._check()
        self.published.update(positions)

    async def lead(self) -> bool:
        return self.leader

    @property
    def left(self) -> int:
        return len(self.rows.keys() - self.published)

    def _insert(self, payload: str) -> OutboxMessage:
        position = len(self.rows) + 1
        message = Message(
            id=f"event-{position}",
            type="xumm.sign.signed",
            app="shop",
            payload=payload,
            routing_key="shop.sign.signed",
            body=b"{}",
            at=0,
        )
        self.rows[position] = OutboxMessage(position=position, message=message)
        return self.rows[position]

    def _check(self) -> None:
        if self.broken:
            self.refusals += 1
            raise StoreUnavailable("the disk is gone")


class KnownQueues:
    """The queues that the exchange is said to route to: by the settings, and (if not None) by the broker."""

    def __init__(
        self,
        expected: Mapping[str, Sequence[str]] = MappingProxyType({}),
        bound: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.expected = QueueBindings(topics=expected, complete=False)
        self._bound = bound

    async def ask(self) -> QueueBindings:
        if self._bound is None:
            raise BindingsUnknown("nobody says")
        return QueueBindings(topics=self._bound, complete=True)


class ObedientPublisher:
    """Confirms on the next turn of the loop, unless ``verdict`` or ``judge`` says otherwise; keeps what arrived."""

    def __init__(self) -> None:
        self.arrived: dict[str, list[str]] = defaultdict(list)
        self.verdict: Callable[[Message], PublishError | None] = lambda _: None
        """The answer for what is published to the exchange."""
        self.judge: Callable[[str, Message], PublishError | None] = lambda queue, message: None
        """The answer for what is handed to one queue."""
        self.attempts: list[tuple[str | None, str]] = []
        """Queue (None: the exchange) and event of each publish."""
        self.held: list[tuple[Message, Future[None]]] = []
        self.holding = False
        self.up = asyncio.Event()
        self.up.set()

    def publish(self, message: Message, queue: str | None = None) -> "Future[None]":
        future: Future[None] = asyncio.get_running_loop().create_future()
        self.attempts.append((queue, message.id))
        if queue is not None:
            asyncio.get_running_loop().call_soon(_settle, future, self.judge(queue, message))
        elif self.holding:
            self.held.append((message, future))
        else:
            asyncio.get_running_loop().call_soon(self._answer, message, future)
        return future

    def release(self) -> None:
        """Answer what was held."""
        self.holding = False
        held, self.held = self.held, []
        for message, future in held:
            self._answer(message, future)

    async def ready(self) -> None:
        await self.up.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    def _answer(self, message: Message, future: "Future[None]") -> None:
        error = self.verdict(message)
        if error is None:
            self.arrived[message.payload].append(message.id)
        _settle(future, error)


def _settle(future: "Future[None]", error: PublishError | None) -> None:
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
