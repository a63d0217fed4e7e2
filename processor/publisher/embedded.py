"""The publisher's adapter without a broker: consumers in the same process, for trying things out and for tests."""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import structlog

from processor.publisher.port import Disconnected, Message, Refused, Unroutable

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


class EmbeddedPublisher:
    """Hands messages to the queues subscribed, in order per payload; different payloads go side by side.

    A message no queue is bound for is kept aside and resolves, as with an alternate exchange; where none is kept, it
    fails with `Unroutable`, as without one. Nothing here is durable: what is in flight on closing fails with
    `Disconnected`, and the outbox has it still.
    """

    def __init__(self, *, concurrency: int = 64, unrouted_kept: int = 1000) -> None:
        """At most ``concurrency`` messages are with consumers at once."""
        self.unrouted: Final[deque[Message]] = deque(maxlen=unrouted_kept)
        """The latest messages that no queue was bound for."""
        self._queues: dict[str, _Queue] = {}
        self._slots = asyncio.Semaphore(concurrency)
        self._lanes: dict[str, deque[_Publish]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
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

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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

    def publish(self, message: Message) -> "Future[None]":
        """Hand ``message`` over; resolves once every queue bound for it has settled it."""
        future: Future[None] = asyncio.get_running_loop().create_future()
        if not self._open.is_set():
            future.set_exception(Disconnected("the publisher is not open"))
            return future
        publish = _Publish(message, future)
        lane = self._lanes.get(message.payload)
        if lane is not None:
            lane.append(publish)
            return future
        self._lanes[message.payload] = deque((publish,))
        task = asyncio.create_task(self._empty_lane(message.payload))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return future

    async def ready(self) -> None:
        """Return once open."""
        await self._open.wait()

    async def _empty_lane(self, payload: str) -> None:
        lane = self._lanes[payload]
        while lane:
            async with self._slots:
                await self._deliver(lane[0])
            lane.popleft()
        del self._lanes[payload]

    async def _deliver(self, publish: _Publish) -> None:
        queues = [queue for queue in self._queues.values() if _is_bound(queue, publish.message)]
        if not queues:
            if not self.unrouted.maxlen:
                _fail(publish.future, Unroutable("no queue is bound for it"))
                return
            self.unrouted.append(publish.message)
        outcomes = await asyncio.gather(*(_settle(queue, publish.message) for queue in queues))
        unsettled = [queue.name for queue, settled in zip(queues, outcomes, strict=True) if not settled]
        if unsettled:
            _fail(publish.future, Refused(f"not settled by {', '.join(unsettled)}"))
        elif not publish.future.done():
            publish.future.set_result(None)


async def _settle(queue: _Queue, message: Message) -> bool:
    try:
        await queue.deliver(message)
    except Exception:  # noqa: BLE001 - a consumer may die of anything; its message comes again
        _log.exception("publisher.delivery_failed", queue=queue.name, message_id=message.id)
        return False
    return True


def _is_bound(queue: _Queue, message: Message) -> bool:
    return any(topic_matches(binding, message.routing_key) for binding in queue.bindings)


def _fail(future: "Future[None]", error: Exception) -> None:
    if not future.done():
        future.set_exception(error)


def topic_matches(binding: str, routing_key: str) -> bool:
    """Whether a topic exchange would route: ``*`` stands for one word, ``#`` for any number of them."""
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
