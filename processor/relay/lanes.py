"""Messages in flight: one of each payload at a time, of thousands of payloads side by side."""

import asyncio
from asyncio import Future
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from processor.broker.port import Disconnected, Publisher
from processor.core.publishing.message import OutboxMessage
from processor.relay.arrears import Arrears, error_of


class Lanes:
    """Publishes messages, each when the message before it of the same payload is done.

    A message is done when the broker, or each queue that takes messages now, has confirmed it: see
    `processor.relay.arrears`. When the connection is lost, the payload's messages are dropped; the outbox has them.
    """

    def __init__(
        self,
        publisher: Publisher,
        arrears: Arrears,
        *,
        on_published: Callable[[int], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.load = 0
        """Messages in flight or waiting for an earlier one of their payload."""
        self.idle: Final = asyncio.Event()
        """Set while there are none."""
        self.idle.set()
        self._publisher = publisher
        self._arrears = arrears
        self._on_published = on_published
        self._on_lost = on_lost
        self._lanes: dict[str, deque[OutboxMessage] | None] = {}
        self._crowded = False
        self._lighter = asyncio.Event()

    def enter(self, message: OutboxMessage) -> None:
        """Publish ``message`` once the earlier ones of its payload are done."""
        self.load += 1
        self.idle.clear()
        payload = message.message.payload
        if payload in self._lanes:
            self._lanes[payload] = lane = self._lanes[payload] or deque()
            lane.append(message)
            return
        self._lanes[payload] = None
        self._publish(message)

    async def until_at_most(self, load: int) -> None:
        """Return once the load is at most ``load``."""
        while self.load > load:
            self._crowded = True
            self._lighter.clear()
            await self._lighter.wait()
        self._crowded = False

    def _publish(self, message: OutboxMessage) -> None:
        if self._arrears.owed and self._arrears.diverts(message.message.routing_key):
            self._arrears.take(message, None, partial(self._go_on, message.message.payload))
            return
        self._publisher.publish(message.message).add_done_callback(partial(self._on_answer, message))

    def _on_answer(self, message: OutboxMessage, future: "Future[None]") -> None:
        error = error_of(future)
        payload = message.message.payload
        if error is None:
            self._on_published(message.position)
            self._go_on(payload)
        elif isinstance(error, Disconnected):
            self._go_on(payload, lost=True)
        else:
            self._arrears.take(message, error, partial(self._go_on, payload))

    def _go_on(self, payload: str, lost: bool = False) -> None:  # noqa: FBT001, FBT002  a callback's argument
        lane = self._lanes[payload]
        self.load -= 1
        if lost:
            self._on_lost()
            self.load -= len(lane or ())
            lane = None
        if self._crowded:
            self._lighter.set()
        if lane:
            self._publish(lane.popleft())
            return
        del self._lanes[payload]
        if not self._lanes:
            self.idle.set()
