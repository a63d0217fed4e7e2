"""An aio-pika connection that no message breaks, and that opens and closes in bounded time."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from yarl import URL

from processor.broker.copies import DEFAULT_FRAME
from processor.broker.sanitizer import FRAMES, HEAD, sanitize

CALL_TIMEOUT: Final = timedelta(seconds=10)
"""How long the broker may take to answer."""
HEARTBEAT_SECONDS: Final = 20


class SanitizedConnection(aio_pika.Connection):
    """An aio-pika connection whose incoming frames are sanitized."""

    def __init__(self, url: URL, **options: Any) -> None:
        super().__init__(url, **options)
        self.kwargs["transport_factory"] = _Transport()

    @property
    def frame_size(self) -> int:
        """Bytes of a frame, as negotiated with the broker."""
        tune = getattr(getattr(self.transport, "connection", None), "connection_tune", None)
        return getattr(tune, "frame_max", 0) or DEFAULT_FRAME


async def connect(url: str, *, name: str) -> SanitizedConnection:
    """A connection that does not restore itself. Its heartbeat notices a dead peer within a minute."""
    options = {} if "heartbeat" in URL(url).query else {"heartbeat": str(HEARTBEAT_SECONDS)}
    connection = SanitizedConnection(URL(url).update_query(options), client_properties={"connection_name": name})
    try:
        await connection.connect(timeout=CALL_TIMEOUT.total_seconds())
    except BaseException:
        await close(connection)
        raise
    return connection


async def close(connection: AbstractConnection) -> None:
    """Close ``connection`` in any state, with a handshake if the broker answers in time. Raises nothing."""
    with suppress(Exception):
        async with asyncio.timeout(CALL_TIMEOUT.total_seconds()):
            await connection.close()
    with suppress(Exception):  # after a timeout this only marks the connection closed; else its finalizer tries again
        await connection.close()


def raise_if_cancelled(error: asyncio.CancelledError) -> None:
    """Raise ``error`` if the task was cancelled. aio-pika raises one by itself when the broker does not answer."""
    task = asyncio.current_task()
    if task is None or task.cancelling():
        raise error


class _Transport(TransportFactory):
    """The library's own transports, with a reader that sanitizes frames."""

    async def create(self, url: URL, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, writer = await factory.create(url, **options)
        return _Frames(reader), writer


class _Frames(asyncio.StreamReader):
    """A reader that reads whole frames, sanitizes them, and returns them in portions of any size."""

    def __init__(self, source: asyncio.StreamReader) -> None:
        super().__init__()
        self._source = source
        self._frame = b""

    async def readexactly(self, n: int) -> bytes:
        """The library reads the first byte of a frame, then the rest of its head, then its payload."""
        if not self._frame:
            self._frame = await self._next()
        if len(self._frame) < n:
            self._frame += await self._source.readexactly(n - len(self._frame))
        served, self._frame = self._frame[:n], self._frame[n:]
        return served

    def at_eof(self) -> bool:
        """Whether the connection is closed and everything was read."""
        return not self._frame and self._source.at_eof()

    async def _next(self) -> bytes:
        first = await self._source.readexactly(1)
        if first[0] not in FRAMES:
            return first  # a protocol header, by which the broker tells its versions
        head = first + await self._source.readexactly(HEAD.size - 1)
        return sanitize(head + await self._source.readexactly(HEAD.unpack(head)[2] + 1))
