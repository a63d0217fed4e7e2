"""The publisher's adapter without a broker: consumers in the same process, for development and tests."""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Final, Self

import structlog

from processor.broker.port import Disconnected, Nacked, PublishError, Unanswered, Unroutable
from processor.core.publishing.debts import topic_matches
from processor.core.publishing.message import Message

Deliver = Callable[[Message], Awaitable[None]]
"""Returns once its consumer has settled the message: acknowledged or dead-lettered."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Queue:
    name: str
    bindings: tuple[str, ...]
    deliver: Deliver


@dataclass(frozen=True, slots=True)
class _Publish:
    message: Message
    future: "Future[None]"
    queue: str | None


class EmbeddedPublisher:
    """Hands messages to the queues subscribed, in order per payload; different payloads go side by side.

    A message no queue is bound for is kept aside and resolves, as with an alternate exchange; where none is kept, it
    fails with `Unroutable`, as without one. Nothing here is durable: what is in flight on closing fails with
    `Disconnected`, and the outbox has it still.
    """

    def __init__(
        self, *, concurrency: int = 64, unrouted_kept: int = 1000, patience: timedelta = timedelta(minutes=1)
    ) -> None:
        """At most ``concurrency`` messages are delivered at a time, each for at most ``patience``."""
        self._patience = patience.total_seconds()
        self.unrouted: Final[deque[Message]] = deque(maxlen=unrouted_kept)
        """The latest messages that no queue was bound to."""
        self._queues: dict[str, _Queue] = {}
        self._slots = asyncio.Semaphore(concurrency)
        self._lanes: dict[str, deque[_Publish]] = {}
        self._tasks: set[Future[Any]] = set()
        self._open = asyncio.Event()

    def subscribe(self, queue_name: str, bindings: Sequence[str], deliver: Deliver) -> None:
        """Send what matches any of ``bindings`` to ``deliver``, once. Raises `ValueError` if the name is taken."""
        if queue_name in self._queues:
            raise ValueError(f"queue {queue_name} has a consumer already")
        self._queues[queue_name] = _Queue(name=queue_name, bindings=tuple(bindings), deliver=deliver)

    async def __aenter__(self) -> Self:
        """Take messages from now on."""
        self._open.set()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel what consumers are at, and fail what is in flight."""
        self._open.clear()
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for lane in self._lanes.values():
            for publish in lane:
                _fail(publish.future, Disconnected("the publisher was closed"))
        self._lanes.clear()

    def publish(self, message: Message, queue: str | None = None) -> "Future[None]":
        """Hand ``message`` over; resolves once ``queue``, or every queue bound for it, has settled it."""
        future: Future[None] = asyncio.get_running_loop().create_future()
        if not self._open.is_set():
            future.set_exception(Disconnected("the publisher is not open"))
            return future
        publish = _Publish(message, future, queue)
        lane = self._lanes.get(message.payload)
        if lane is not None:
            lane.append(publish)
            return future
        self._lanes[message.payload] = deque((publish,))
        self._keep(asyncio.create_task(self._deliver_lane(message.payload)))
        return future

    async def ready(self) -> None:
        """Return once open."""
        await self._open.wait()

    def _keep(self, task: "Future[Any]") -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver_lane(self, payload: str) -> None:
        lane = self._lanes[payload]
        while lane:
            async with self._slots:
                await self._deliver(lane[0])
            lane.popleft()
        del self._lanes[payload]

    async def _deliver(self, publish: _Publish) -> None:
        queues = [queue for queue in self._queues.values() if _takes(queue, publish)]
        if not queues:
            if publish.queue is not None or not self.unrouted.maxlen:
                _fail(publish.future, Unroutable("no queue is bound to its routing key"))
                return
            self.unrouted.append(publish.message)
        settled = asyncio.gather(*(_settle(queue, publish.message) for queue in queues))
        self._keep(settled)
        await asyncio.wait([settled], timeout=self._patience)
        if settled.done():
            _resolve(publish.future, queues, settled)
            return
        late: Future[None] = asyncio.get_running_loop().create_future()
        settled.add_done_callback(partial(_resolve_late, late, queues))
        _fail(publish.future, Unanswered(f"not settled within {self._patience} seconds", late))


async def _settle(queue: _Queue, message: Message) -> bool:
    try:
        await queue.deliver(message)
    except Exception:  # noqa: BLE001 - a consumer may die of anything; its message comes again
        _log.exception("publisher.delivery_failed", queue=queue.name, message_id=message.id)
        return False
    return True


def _takes(queue: _Queue, publish: _Publish) -> bool:
    if publish.queue is not None:
        return queue.name == publish.queue
    return any(topic_matches(binding, publish.message.routing_key) for binding in queue.bindings)


def _resolve(future: "Future[None]", queues: Sequence[_Queue], settled: "Future[list[bool]]") -> None:
    unsettled = [queue.name for queue, taken in zip(queues, settled.result(), strict=True) if not taken]
    if unsettled:
        _fail(future, Nacked(f"not settled by {', '.join(unsettled)}"))
    elif not future.done():
        future.set_result(None)


def _resolve_late(late: "Future[None]", queues: Sequence[_Queue], settled: "Future[list[bool]]") -> None:
    if settled.cancelled() or not all(settled.result()):
        late.cancel()
    else:
        _resolve(late, queues, settled)


def _fail(future: "Future[None]", error: PublishError) -> None:
    if not future.done():
        future.set_exception(error)
