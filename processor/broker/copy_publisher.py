"""Publishes copies of messages on a connection of its own, and waits for the confirm of the broker."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage
from aio_pika.exceptions import ChannelPreconditionFailed

from processor.broker.copies import DEFAULT_FRAME, OWN_HEADERS, copy_headers, join_names
from processor.broker.transport import SanitizedConnection, close, connect, raise_if_cancelled
from processor.observability.redaction import describe
from schemas.topology import HEADER_DROPPED, HEADER_TRACEPARENT

PUBLISH_TIMEOUT: Final = timedelta(seconds=15)


class CopyFailed(Exception):
    """The broker may or may not hold the copy. The message names no credentials."""


class CopyTooLarge(CopyFailed):
    """The broker takes no message of this size, and holds no copy; its limit was higher when the original came."""


class CopyPublisher:
    """Publishes one copy at a time: retries are rare, and equal message ids in flight would share one confirm.

    It connects when first needed. Any failure closes the connection, so the next publish opens another.
    """

    def __init__(self, urls: Sequence[str], *, name: str) -> None:
        self._urls = tuple(urls)
        self._name = name
        self._turn = 0
        self._one_in_flight = asyncio.Lock()
        self._connection: SanitizedConnection | None = None
        self._channel: AbstractChannel | None = None

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        message: AbstractIncomingMessage,
        headers: Mapping[str, object],
        *,
        longest: int | None = None,
    ) -> None:
        """Return once the broker has a copy in a queue, with those of ``headers`` that a copy can carry.

        The body is cut after ``longest`` bytes. Raises `CopyFailed` or `CopyTooLarge`.
        """
        async with self._one_in_flight:
            try:
                async with asyncio.timeout(PUBLISH_TIMEOUT.total_seconds()):
                    await self._publish(exchange, routing_key, message, headers, longest)
            except asyncio.CancelledError as error:
                await self.close()
                raise_if_cancelled(error)
                raise CopyFailed(f"publishing to {exchange or 'queue'} {routing_key} was cut off") from error
            except Exception as error:
                await self.close()
                kind = CopyTooLarge if isinstance(error, ChannelPreconditionFailed) else CopyFailed
                raise kind(f"not published to {exchange or 'queue'} {routing_key}: {describe(error)}") from error

    async def close(self) -> None:
        """Close the connection, if there is one. The next publish opens another."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await close(connection)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _publish(
        self,
        exchange: str,
        routing_key: str,
        message: AbstractIncomingMessage,
        headers: Mapping[str, object],
        longest: int | None,
    ) -> None:
        channel = self._channel or await self._open()
        frame_size = DEFAULT_FRAME if self._connection is None else self._connection.frame_size
        copy = _build_copy(message, headers if longest is None else _note_cut(headers, longest), frame_size)
        copy.body = copy.body[:longest]
        target = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
        await target.publish(copy, routing_key, mandatory=True)

    async def _open(self) -> AbstractChannel:
        url = self._urls[self._turn % len(self._urls)]
        self._turn += 1
        self._connection = await connect(url, name=self._name)
        self._channel = await self._connection.channel(publisher_confirms=True, on_return_raises=True)
        self._connection.close_callbacks.add(self._forget)
        self._channel.close_callbacks.add(self._forget)
        return self._channel

    def _forget(self, *_: object) -> None:
        self._channel = None


def _note_cut(headers: Mapping[str, object], longest: int) -> Mapping[str, object]:
    names = (headers.get(HEADER_DROPPED), f"(body after {longest} bytes)")
    return {**headers, HEADER_DROPPED: join_names(name for name in names if isinstance(name, str))}


def _build_copy(message: AbstractIncomingMessage, headers: Mapping[str, object], frame_size: int) -> aio_pika.Message:
    """A persistent copy, with those of ``headers`` that it can carry."""
    return aio_pika.Message(
        message.body,
        headers=copy_headers(headers, OWN_HEADERS | {HEADER_TRACEPARENT}, frame_size=frame_size),
        content_type=message.content_type,
        content_encoding=message.content_encoding,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        correlation_id=message.correlation_id,
        message_id=message.message_id,
        timestamp=message.timestamp,
        type=message.type,
        app_id=message.app_id,
    )
