"""A session of a consumer: its unsettled deliveries, and a watchdog that ends a session which died in silence.

It takes one message at a time until it receives one that was never delivered before: the messages that a dead process
had in hand stand at the head of the queue.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Self

from aio_pika.abc import AbstractIncomingMessage

from consumers.runtime.source.port import MessageDelivery
from processor.broker.session import QueueSession
from processor.broker.transport import CALL_TIMEOUT

RECOVERY_CHECK: Final = timedelta(seconds=1)
"""How often the queue is examined for messages that a dead process had in hand."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RabbitDelivery(MessageDelivery):
    """A delivery and the session it can be settled on."""

    message: AbstractIncomingMessage
    session: "RabbitSession"
    received_at: float
    """By the event loop's clock."""


class RabbitSession(QueueSession):
    """A `QueueSession` that passes each message to ``take`` and knows the unsettled ones."""

    def __init__(
        self,
        url: str,
        queue: str,
        take: Callable[[AbstractIncomingMessage, "RabbitSession"], None],
        *,
        prefetch: int,
        patience: timedelta = CALL_TIMEOUT,
        recovered: asyncio.Event | None = None,
    ) -> None:
        """``recovered`` is set once the queue holds no message that a dead process had in hand, as far as known."""
        super().__init__(
            url, queue, self._take_message, name=f"consumers {queue}", prefetch=prefetch, patience=patience
        )
        self.unsettled: set[RabbitDelivery] = set()
        self._take = take
        self._recovered = recovered or asyncio.Event()
        self._received = 0
        self._received_before = 0
        self._stall_check_at = 0.0
        self._quiet_since: int | None = None

    def lose(self, reason: str) -> None:
        """End the session: nothing that it delivered can be settled any more."""
        self.unsettled.clear()
        super().lose(reason)

    def return_claim(self, delivery: RabbitDelivery) -> None:
        """Undo the claim of a settlement that did not happen."""
        if not self.lost.done():
            self.unsettled.add(delivery)

    async def watch(self, every: timedelta) -> str:
        """Examine the session periodically; return why it was lost."""
        self._stall_check_at = asyncio.get_running_loop().time() + every.total_seconds()
        while not self.lost.done():
            pause = every if self._recovered.is_set() else min(every, RECOVERY_CHECK)
            await asyncio.wait([self.lost], timeout=pause.total_seconds())
            if self.is_consuming:
                self._examine(await self.count_ready(), every)
        return self.lost.result()

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        if not self.ready_at_first:
            self._recovered.set()
        return self

    def _examine(self, ready: int, every: timedelta) -> None:
        """Note if the queue is recovered; lose the session if the broker holds ``ready`` messages back."""
        if self._is_calm(ready):
            self._recovered.set()
        now = asyncio.get_running_loop().time()
        if now >= self._stall_check_at:
            self._stall_check_at = now + every.total_seconds()
            if self._is_stalled(ready):
                self.lose("the broker holds messages back")

    def _is_calm(self, ready: int) -> bool:
        """Whether no message is ready or being handled, and none was delivered since the examination before."""
        before, self._received_before = self._received_before, self._received
        return not ready and not self.unsettled and before == self._received

    def _is_stalled(self, ready: int) -> bool:
        """Whether messages were ready, none was delivered and none is being handled, twice in a row."""
        if not ready or self.unsettled:
            self._quiet_since = None
            return False
        was_quiet = self._quiet_since == self._received
        self._quiet_since = self._received
        return was_quiet

    async def _take_message(self, message: AbstractIncomingMessage) -> None:
        self._received += 1
        self._take(message, self)
        if not message.redelivered:
            self._recovered.set()
            await self.widen()
