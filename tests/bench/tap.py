"""A consumer at the far end that notes when each event came, by the clock that the sender used."""

import asyncio
import time
from collections import Counter
from types import TracebackType
from typing import Self

import aiormq
from aiormq.abc import DeliveredMessage

from schemas.topology import EXCHANGE


class Tap:
    """A quorum queue, as the product's own are, bound to the events of ``binding``."""

    def __init__(self, amqp_url: str, binding: str) -> None:
        self._amqp_url = amqp_url
        self._binding = binding
        self._awaited = 0
        self._enough = asyncio.Event()
        self._connection: aiormq.abc.AbstractConnection
        self.came_at: dict[str, float] = {}
        """When the first event of each payload came, by ``time.perf_counter``."""
        self.events: Counter[str] = Counter()
        """How many came for each payload."""

    async def __aenter__(self) -> Self:
        self._connection = await aiormq.connect(self._amqp_url)
        channel = await self._connection.channel()
        await channel.queue_declare("tap", durable=True, arguments={"x-queue-type": "quorum"})
        await channel.queue_bind("tap", EXCHANGE, self._binding)
        await channel.basic_consume("tap", self._take, no_ack=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    @property
    def doubled(self) -> int:
        """Events beyond the first of their payload."""
        return self.events.total() - len(self.events)

    async def until(self, payloads: int, patience: float) -> None:
        """Return when so many payloads had an event, or when patience, in seconds, has run out."""
        self._awaited = payloads
        if len(self.events) >= payloads:
            return
        self._enough.clear()
        try:
            async with asyncio.timeout(patience):
                await self._enough.wait()
        except TimeoutError:
            return

    async def _take(self, message: DeliveredMessage) -> None:
        now = time.perf_counter()
        payload = str(message.header.properties.correlation_id)
        self.came_at.setdefault(payload, now)
        self.events[payload] += 1
        if len(self.events) >= self._awaited:
            self._enough.set()
