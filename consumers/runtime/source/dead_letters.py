"""Shows dead letters without consuming them, and returns them to their queue.

AMQP can show a message only by getting and returning it. Quorum queues count returns, and from RabbitMQ 4.0 they drop
a message that was returned twenty times, unless a policy says otherwise. So letters are returned by ``basic.nack``,
which is not counted from 4.3, and a letter that was returned often is replaced by a copy.

Sources: https://www.rabbitmq.com/docs/quorum-queues#poison-message-handling,
https://github.com/rabbitmq/rabbitmq-server/pull/11937 (the limit), https://github.com/rabbitmq/rabbitmq-server/pull/15387
(what counts from 4.3).
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, NoReturn, Self

from aio_pika.abc import AbstractIncomingMessage

from consumers.runtime.errors import SourceUnavailable
from consumers.runtime.source.port import parse_attempts
from consumers.runtime.source.queue_view import QueueView
from processor.broker.copies import OWN_HEADERS
from processor.broker.copy_publisher import CopyFailed, CopyPublisher, CopyTooLarge
from processor.broker.transport import CALL_TIMEOUT
from processor.observability.redaction import REDACTED
from schemas.commands import DEVICE_COMMANDS
from schemas.topology import HEADER_FIRST_SEEN, HEADER_REASON, PUSH_DEVICES, dead_letter_queue

RENEW_AFTER: Final = 10
"""Returns after which a letter is replaced by a copy: half of RabbitMQ 4's default limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """A message that failed for good."""

    queue: str
    event_id: str | None
    type: str | None
    payload: str | None
    reason: str
    attempts: int
    first_seen_at: str | None
    headers: Mapping[str, str]
    body: bytes

    @classmethod
    def parse(cls, message: AbstractIncomingMessage, queue: str) -> Self:
        """The properties and headers of ``message``. If the broker dead-lettered it, the reason is in ``x-death``."""
        headers = dict(message.headers)
        return cls(
            queue=queue,
            event_id=message.message_id,
            type=message.type,
            payload=message.correlation_id,
            reason=_reason(headers),
            attempts=parse_attempts(headers),
            first_seen_at=_text_or_none(headers.get(HEADER_FIRST_SEEN)),
            headers={name: str(value) for name, value in headers.items()},
            body=message.body,
        )

    @property
    def event(self) -> Any:
        """The body as JSON with device tokens masked, or as text if it is no JSON."""
        is_command = self.queue == PUSH_DEVICES or self.type in DEVICE_COMMANDS
        text = self.body.decode(errors="replace")
        try:
            found = json.loads(text, parse_constant=_refuse)
            return _mask_tokens(found) if is_command else found
        except (ValueError, RecursionError):
            return f"{REDACTED} {len(self.body)} bytes that are no JSON" if is_command else text


class DeadLetters:
    """The dead letters of one queue. ``patience`` is how long the broker may take for each answer."""

    def __init__(self, url: str, queue: str, *, patience: timedelta = CALL_TIMEOUT) -> None:
        self._url = url
        self._queue = queue
        self._patience = patience

    async def first(self, limit: int) -> list[DeadLetter]:
        """At most ``limit`` letters, in the order in which consumers first received them. Raises `SourceUnavailable`.

        Which letters they are is up to the broker: getting and returning changes the order in quorum queues.
        """
        async with self._look() as (view, _):
            found = [DeadLetter.parse(message, self._queue) async for message in view.messages(limit)]
        return sorted(found, key=lambda letter: letter.first_seen_at or "")

    async def find(self, event_id: str) -> DeadLetter | None:
        """The letter with that event id, or None. Raises `SourceUnavailable`."""
        found = None
        async with self._look() as (view, _):
            async for message in view.messages():
                if message.message_id == event_id:
                    found = DeadLetter.parse(message, self._queue)
                    break
        return found

    async def redrive(self, event_id: str | None = None) -> int:
        """Return the letter with that event id, or all present letters, to the queue; return how many.

        Attempts start over. A letter is removed here only after its copy was confirmed. Raises `SourceUnavailable`.
        """
        redriven = 0
        try:
            async with self._look() as (view, copies):
                async for message in view.messages():
                    if event_id in {None, message.message_id}:
                        fresh = {name: value for name, value in message.headers.items() if name not in OWN_HEADERS}
                        await copies.publish("", self._queue, message, fresh)
                        await view.remove(message)
                        redriven += 1
        except SourceUnavailable as error:
            raise SourceUnavailable(f"{redriven} redriven, then: {error}") from error
        return redriven

    @asynccontextmanager
    async def _look(self) -> AsyncIterator[tuple[QueueView, CopyPublisher]]:
        """The dead letters and a publisher of copies. Letters that are not removed are returned in the end."""
        name = f"consumers dead letters {self._queue}"
        try:
            async with (
                QueueView(self._url, dead_letter_queue(self._queue), patience=self._patience) as view,
                CopyPublisher([self._url], name=name) as copies,
            ):
                yield view, copies
                await view.put_back(await self._renew(view, copies))
        except CopyFailed as error:
            raise SourceUnavailable(str(error)) from error

    async def _renew(self, view: QueueView, copies: CopyPublisher) -> int:
        """Replace letters that were returned often by copies; return how many. One too large for a copy stays."""
        renewed = 0
        for message in view.held:
            if _returns(message.headers) < RENEW_AFTER:
                continue
            headers = {**message.headers, HEADER_REASON: _reason(message.headers)}
            try:
                await copies.publish("", dead_letter_queue(self._queue), message, headers)
            except CopyTooLarge:
                continue
            except CopyFailed:
                break
            await view.remove(message)
            renewed += 1
        return renewed


def _returns(headers: Mapping[str, Any]) -> int:
    """How often a message was returned, by the higher of the broker's two counts."""
    counts = [headers.get(name) for name in ("x-delivery-count", "x-acquired-count")]
    return max((count for count in counts if isinstance(count, int)), default=0)


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


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def _mask_tokens(command: Any) -> Any:
    match command:
        case dict():
            return {
                name: REDACTED if name in {"token", "keys"} else _mask_tokens(value) for name, value in command.items()
            }
        case list():
            return [_mask_tokens(each) for each in command]
        case _:
            return command
