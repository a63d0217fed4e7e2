"""A connection that takes messages of anybody."""

import asyncio
from collections.abc import Mapping
from typing import Any

import aio_pika
from aiormq.connection import TCPTransportFactory, TLSTransportFactory, TransportFactory
from yarl import URL

from processor.broker.copies import DEFAULT_FRAME
from processor.broker.sanitizer import FRAMES, HEAD, sanitized


class SanitizedConnection(aio_pika.Connection):
    """An aio-pika connection that no message can break."""

    def __init__(self, url: URL, **options: Any) -> None:
        super().__init__(url, **options)
        self.kwargs["transport_factory"] = _Transport()

    @property
    def frame_size(self) -> int:
        """Bytes of a frame, as agreed on with the broker."""
        tune = getattr(getattr(self.transport, "connection", None), "connection_tune", None)
        return getattr(tune, "frame_max", 0) or DEFAULT_FRAME


class _Transport(TransportFactory):
    """The library's own transports, with frames sanitized on their way in."""

    async def create(self, url: URL, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        factory = TLSTransportFactory() if url.scheme == "amqps" else TCPTransportFactory()
        reader, writer = await factory.create(url, **options)
        return _Frames(reader), writer


class _Frames(asyncio.StreamReader):
    """A reader that serves whole frames, in whatever portions they are asked for."""

    def __init__(self, source: asyncio.StreamReader) -> None:
        super().__init__()
        self._source = source
        self._frame = b""

    async def readexactly(self, n: int) -> bytes:
        """As the library asks: the first byte of a frame, the rest of its head, its payload."""
        if not self._frame:
            self._frame = await self._next()
        if len(self._frame) < n:
            self._frame += await self._source.readexactly(n - len(self._frame))
        served, self._frame = self._frame[:n], self._frame[n:]
        return served

    def at_eof(self) -> bool:
        """Whether nothing will ever come again."""
        return not self._frame and self._source.at_eof()

    async def _next(self) -> bytes:
        first = await self._source.readexactly(1)
        if first[0] not in FRAMES:
            return first  # a protocol header of the broker, which says what versions it has
        head = first + await self._source.readexactly(HEAD.size - 1)
        return sanitized(head + await self._source.readexactly(HEAD.unpack(head)[2] + 1))


def returns_in(headers: Mapping[str, Any], *, redelivered: bool) -> int:
    """How often a message came before without being settled, by the broker's count; 0 if that is unknown.

    In one that was not ``redelivered`` no broker has counted: it bears what its sender wrote, or another queue.
    """
    value = headers.get("x-delivery-count")
    return value if redelivered and isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
