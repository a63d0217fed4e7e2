"""Looking at dead letters without consuming them, and giving them back to their queue.

A dead letter is looked at by getting it and letting the closing channel return it, the one way that AMQP has.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Self

from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage

from consumers.runtime.errors import SettleFailed, SourceUnavailable
from consumers.runtime.reason import MASK, describe
from consumers.runtime.source.port import OWN_HEADERS, Headers, attempts_in
from consumers.runtime.source.republisher import Republisher
from consumers.runtime.source.session import CALL_TIMEOUT, address_of, connect
from schemas.commands import DEVICE_COMMANDS
from schemas.topology import (
    HEADER_FIRST_SEEN,
    HEADER_REASON,
    dead_letter_queue,
)

RETURN_TIMEOUT: Final = timedelta(seconds=3)
RETURN_POLL: Final = timedelta(milliseconds=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that failed for good."""

    event_id: str | None
    type: str | None
    payload: str | None
    reason: str
    attempts: int
    first_seen_at: str | None
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def parse(cls, message: AbstractIncomingMessage) -> Self:
        """What ``message`` says of itself; one that the broker dead-lettered says it in ``x-death``."""
        headers = dict(message.headers)
        return cls(
            event_id=message.message_id,
            type=message.type,
            payload=message.correlation_id,
            reason=_reason(headers),
            attempts=attempts_in(headers),
            first_seen_at=_text_or_none(headers.get(HEADER_FIRST_SEEN)),
            headers={name: str(value) for name, value in headers.items()},
            body=message.body,
        )

    @property
    def event(self) -> Any:
        """The body as JSON, device tokens masked; as text where it is none."""
        text = self.body.decode(errors="replace")
        try:
            found = json.loads(text)
        except ValueError:
            return text
        return _without_tokens(found) if self.type in DEVICE_COMMANDS else found


def _without_tokens(command: Any) -> Any:
    if isinstance(command, dict):
        return {name: MASK if name in {"token", "keys"} else _without_tokens(value) for name, value in command.items()}
    return command


class DeadLetters:
    """The dead letters of one queue."""

    def __init__(self, url: str, queue: str) -> None:
        self._url = url
        self._queue = queue

    async def first(self, limit: int) -> list[DeadLetter]:
        """At most ``limit``, in the order in which consumers first met them. Raises `SourceUnavailable`.

        Which ones those are is up to the broker: looking at quorum queues mixes up their order.
        """
        async with self._messages(limit) as messages:
            found = [DeadLetter.parse(message) async for message in messages]
        return sorted(found, key=lambda letter: letter.first_seen_at or "")

    async def find(self, event_id: str) -> DeadLetter | None:
        """The one with that event id. Raises `SourceUnavailable`."""
        async with self._messages(None) as messages:
            async for message in messages:
                if message.message_id == event_id:
                    return DeadLetter.parse(message)
        return None

    async def redrive(self, event_id: str | None = None) -> int:
        """Give the one with that event id, or all that lie there now, back to the queue; how many.

        Attempts start over. Each is published, confirmed, and only then removed here. Raises `SourceUnavailable`.
        """
        republisher = Republisher([self._url], name=f"consumers redrive {self._queue}")
        redriven = 0
        try:
            async with self._messages(None) as messages:
                async for message in messages:
                    if event_id in {None, message.message_id}:
                        await republisher.publish("", self._queue, message, _fresh_headers(message))
                        await message.ack()
                        redriven += 1
        except SettleFailed as error:
            raise SourceUnavailable(f"{redriven} redriven, then: {error}") from error
        finally:
            await republisher.close()
        return redriven

    @asynccontextmanager
    async def _messages(self, limit: int | None) -> AsyncIterator[AsyncIterator[AbstractIncomingMessage]]:
        """At most ``limit`` of the messages there now; those not acknowledged are back when the context ends."""
        try:
            connection = await connect(self._url, name=f"consumers dead letters {self._queue}")
        except Exception as error:
            raise SourceUnavailable(f"{address_of(self._url)}: {describe(error)}") from error
        async with connection:
            there = await self._count(connection)
            taken: list[AbstractIncomingMessage] = []
            channel = await connection.channel(publisher_confirms=False)
            try:
                yield self._get(channel, there if limit is None else min(limit, there), taken)
            finally:
                await channel.close()
            await self._await_return(connection, there - sum(message.processed for message in taken))

    async def _get(
        self, channel: AbstractChannel, count: int, taken: list[AbstractIncomingMessage]
    ) -> AsyncIterator[AbstractIncomingMessage]:
        queue = await channel.get_queue(dead_letter_queue(self._queue), ensure=False)
        for _ in range(count):
            message = await queue.get(fail=False, timeout=CALL_TIMEOUT.total_seconds())
            if message is None:
                return
            taken.append(message)
            yield message

    async def _count(self, connection: AbstractConnection) -> int:
        """Messages ready. Raises `SourceUnavailable` if there is no such queue."""
        name = dead_letter_queue(self._queue)
        try:
            async with connection.channel(publisher_confirms=False) as channel:
                queue = await channel.declare_queue(name, passive=True, timeout=CALL_TIMEOUT.total_seconds())
        except Exception as error:
            raise SourceUnavailable(f"{name}: {describe(error)}") from error
        return queue.declaration_result.message_count or 0

    async def _await_return(self, connection: AbstractConnection, expected: int) -> None:
        """Wait a little for the broker to have put back what was looked at, so that the next look sees it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(RETURN_TIMEOUT.total_seconds()):
                while await self._count(connection) < expected:  # noqa: ASYNC110  a broker sends no notice of it
                    await asyncio.sleep(RETURN_POLL.total_seconds())


def _fresh_headers(message: AbstractIncomingMessage) -> Headers:
    return {name: value for name, value in message.headers.items() if name not in OWN_HEADERS}


def _reason(headers: Mapping[str, Any]) -> str:
    own = headers.get(HEADER_REASON)
    if isinstance(own, str):
        return own
    deaths = headers.get("x-death")
    if isinstance(deaths, list) and deaths and isinstance(deaths[0], dict):
        return f"broker: {deaths[0].get('reason')}"
    return "unknown"


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
