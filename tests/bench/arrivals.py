"""The queue at the far end, in which is counted what really arrived."""

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

import aiormq
from aiormq.abc import DeliveredMessage

_PERSISTENT: Final = 2
_POLL_SECONDS: Final = 0.02
_QUIET_SECONDS: Final = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Arrivals set against what was accepted."""

    arrived: int
    lost: int
    """Payloads accepted with a 200 of which no message arrived."""
    duplicated: int
    """Messages beyond the first of their payload."""
    transient: int
    """Messages that a restart of the broker would have lost: published without ``delivery_mode=2``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What was taken out of the queue."""

    payloads: Counter[str]
    """How many messages arrived for each payload."""
    transient: int = 0
    """How many of them were not persistent."""


class NoExchangeError(Exception):
    """The exchange that a subject should publish to does not exist."""


class Arrivals:
    """A durable queue on ``exchange``: wait for it to fill, then take stock."""

    def __init__(self, amqp_url: str, *, queue: str, exchange: str, binding: str) -> None:
        self._amqp_url = amqp_url
        self._queue = queue
        self._exchange = exchange
        self._binding = binding
        self._connection: aiormq.abc.AbstractConnection
        self._channel: aiormq.abc.AbstractChannel

    async def __aenter__(self) -> Self:
        """Raises `NoExchangeError` if there is no such exchange."""
        self._connection = await aiormq.connect(self._amqp_url)
        self._channel = await self._connection.channel()
        await self._channel.queue_declare(self._queue, durable=True)
        try:
            await self._channel.queue_bind(self._queue, self._exchange, self._binding)
        except aiormq.exceptions.ChannelNotFoundEntity as error:
            await self._connection.close()
            raise NoExchangeError(f"nobody declared the exchange {self._exchange}") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def count(self) -> int:
        """Messages in the queue."""
        declared = await self._channel.queue_declare(self._queue, passive=True)
        return declared.message_count or 0

    async def purge(self) -> None:
        """Forget everything that has arrived."""
        await self._channel.queue_purge(self._queue)

    async def lag(self, expected: int, *, since: float, patience: float) -> float:
        """Seconds from the Unix time ``since`` until ``expected`` messages were there, or patience ran out.

        0.0 if they are there at the first look.
        """
        stop_at = time.monotonic() + patience
        if await self.count() >= expected:
            return 0.0
        while await self.count() < expected and time.monotonic() < stop_at:  # noqa: ASYNC110 - a broker's count
            await asyncio.sleep(_POLL_SECONDS)
        return max(0.0, time.time() - since)

    async def take(self, tag: str) -> Found:
        """Empty the queue. Messages are counted whose body names a payload whose uuid starts with ``tag``."""
        payloads: Counter[str] = Counter()
        transient = 0
        pattern = re.compile(rb"%b-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}" % tag.encode())
        last = time.monotonic()

        async def keep(message: DeliveredMessage) -> None:
            nonlocal last, transient
            last = time.monotonic()
            payload = pattern.search(message.body)
            if payload is not None:
                payloads[payload[0].decode()] += 1
                transient += message.header.properties.delivery_mode != _PERSISTENT

        consuming = await self._channel.basic_consume(self._queue, keep, no_ack=True)
        while time.monotonic() - last < _QUIET_SECONDS or await self.count():  # noqa: ASYNC110 - until quiet
            await asyncio.sleep(_QUIET_SECONDS / 3)
        await self._channel.basic_cancel(consuming.consumer_tag or "")
        return Found(payloads=payloads, transient=transient)


def tally(found: Found, accepted: set[str]) -> Tally:
    """Compare what arrived with the payload uuids that were answered 200."""
    return Tally(
        arrived=found.payloads.total(),
        lost=len(accepted - found.payloads.keys()),
        duplicated=found.payloads.total() - len(found.payloads),
        transient=found.transient,
    )
