"""A queue inside the process, for trials and tests without a broker. It does not survive the process."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol, Self

from consumers.runtime.errors import DeliveryLost
from consumers.runtime.source.port import Headers, MessageDelivery, build_headers, parse_attempts, parse_first_seen


class PublishedMessage(Protocol):
    """The attributes of the processor's messages that the queue needs; the body is the event as structured JSON."""

    @property
    def id(self) -> str: ...

    @property
    def type(self) -> str: ...

    @property
    def body(self) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadMessage:
    """A message that failed for good."""

    message: PublishedMessage
    headers: Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class _QueuedMessage:
    message: PublishedMessage
    settled: "asyncio.Future[None]"
    headers: Headers = field(default_factory=dict)
    redelivered: bool = False


class EmbeddedSource:
    """The `MessageSource` that `deliver` feeds. A retry waits by ``sleep``; ``dead_letters`` keeps failed messages."""

    def __init__(
        self,
        queue: str,
        *,
        prefetch: int = 64,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.dead_letters: list[DeadMessage] = []
        self._queue = queue
        self._prefetch = prefetch
        self._sleep = sleep
        self._ready: deque[_QueuedMessage] = deque()
        self._unsettled: dict[MessageDelivery, _QueuedMessage] = {}
        self._waiting: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._stopped = False
        self._closed = False

    async def deliver(self, message: PublishedMessage) -> None:
        """Queue ``message``; return once it is acknowledged or dead-lettered, after any number of retries.

        Raises `DeliveryLost` if the queue closes first: deliver the message again to the next queue.
        """
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._push(_QueuedMessage(message=message, settled=settled))
        await settled

    async def deliveries(self) -> AsyncIterator[MessageDelivery]:
        while not self._stopped:
            if self._ready and len(self._unsettled) < self._prefetch:
                yield self._hand_out(self._ready.popleft())
                continue
            self._changed.clear()
            await self._changed.wait()

    async def ack(self, delivery: MessageDelivery) -> None:
        _resolve(self._take(delivery))

    async def retry(self, delivery: MessageDelivery, delay: timedelta, reason: str) -> None:
        entry = replace(
            self._take(delivery), headers=build_headers(delivery, queue=self._queue, reason=reason), redelivered=False
        )
        task = asyncio.create_task(self._return_later(entry, delay))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def dead_letter(self, delivery: MessageDelivery, reason: str) -> None:
        entry = self._take(delivery)
        self.dead_letters.append(
            DeadMessage(message=entry.message, headers=build_headers(delivery, queue=self._queue, reason=reason))
        )
        _resolve(entry)

    async def put_back(self, delivery: MessageDelivery) -> None:
        self._push(self._take(delivery))

    def is_overdue(self, delivery: MessageDelivery) -> bool:  # noqa: ARG002  there is no broker that closes a channel
        return False

    def holds(self, delivery: MessageDelivery) -> bool:
        return delivery in self._unsettled

    async def stop(self) -> None:
        self._stopped = True
        self._changed.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()
        self._closed = True
        waiting = tuple(self._waiting)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        for entry in (*self._unsettled.values(), *self._ready):
            self._lose(entry)
        self._unsettled.clear()
        self._ready.clear()

    def _push(self, entry: _QueuedMessage) -> None:
        if self._closed:
            self._lose(entry)
            return
        self._ready.append(entry)
        self._changed.set()

    def _hand_out(self, entry: _QueuedMessage) -> MessageDelivery:
        delivery = MessageDelivery(
            body=entry.message.body,
            event_id=entry.message.id,
            type=entry.message.type,
            headers=entry.headers,
            redelivered=entry.redelivered,
            attempts=parse_attempts(entry.headers),
            first_seen_at=parse_first_seen(entry.headers, datetime.now(UTC)),
        )
        self._unsettled[delivery] = entry
        return delivery

    def _take(self, delivery: MessageDelivery) -> _QueuedMessage:
        if self._closed:
            raise DeliveryLost(f"the embedded queue {self._queue} is closed")
        entry = self._unsettled.pop(delivery, None)
        if entry is None:
            raise ValueError("this delivery is settled")
        self._changed.set()
        return entry

    async def _return_later(self, entry: _QueuedMessage, delay: timedelta) -> None:
        try:
            await self._sleep(delay.total_seconds())
        except asyncio.CancelledError:
            self._lose(entry)
            raise
        self._push(entry)

    def _lose(self, entry: _QueuedMessage) -> None:
        if not entry.settled.done():
            entry.settled.set_exception(DeliveryLost(f"the embedded queue {self._queue} closed"))


def _resolve(entry: _QueuedMessage) -> None:
    if not entry.settled.done():
        entry.settled.set_result(None)
