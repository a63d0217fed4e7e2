"""Bodies of requests, within limits: the size of one, the time that it takes, and the memory of all that are
incomplete.

Over the limit of memory, the oldest incomplete body is given up. An honest sender is done in milliseconds, and a body
that arrives with its head is never incomplete: senders of incomplete bodies displace each other only.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from aiohttp import hdrs, web

from processor.web.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """The limits of requests and connections."""

    body_bytes: int = 64 * 1024
    body_timeout: timedelta = timedelta(seconds=5)
    bodies_bytes: int = 16 * 1024 * 1024
    """Of all incomplete bodies together."""
    connections: int = 2000


class Bodies:
    """Reads bodies. Belongs to one event loop."""

    def __init__(self, limits: ServerLimits) -> None:
        self.limits: Final = limits
        self._under_way: dict[_Body, None] = {}
        self._bytes = 0

    async def read(self, request: web.Request, most: int | None = None) -> bytes:
        """The body, of at most ``most`` bytes, or what the limits allow. Raises `Problem`; nothing is decompressed."""
        size = min(most or self.limits.body_bytes, self.limits.body_bytes)
        if hdrs.CONTENT_ENCODING in request.headers:
            raise Problem("content_encoding_not_supported")
        if (request.content_length or 0) > size:
            raise Problem("body_too_large")
        body = _Body(timeout=asyncio.timeout(self.limits.body_timeout.total_seconds()))
        try:
            if request.content.is_eof():  # it arrived with its head: no timer needed
                body.content += await request.content.read()
            else:
                async with body.timeout:
                    await self._gather(request, body, size)
        except TimeoutError:
            raise Problem("overloaded" if body.given_up else "body_timeout") from None
        except (ConnectionError, web.RequestPayloadError):
            raise Problem("body_incomplete") from None
        if len(body.content) > size:
            raise Problem("body_too_large")
        return bytes(body.content)

    async def _gather(self, request: web.Request, body: "_Body", size: int) -> None:
        """Read the body, or as much of it as shows that it is too large."""
        self._under_way[body] = None
        try:
            async for chunk in request.content.iter_any():
                body.content += chunk
                self._bytes += len(chunk)
                while self._bytes > self.limits.bodies_bytes and self._under_way:
                    self._give_up(next(iter(self._under_way)))
                if len(body.content) > size:
                    return
        finally:
            self._forget(body)

    def _give_up(self, body: "_Body") -> None:
        body.given_up = True
        body.timeout.reschedule(asyncio.get_running_loop().time())
        self._forget(body)

    def _forget(self, body: "_Body") -> None:
        if body in self._under_way:
            del self._under_way[body]
            self._bytes -= len(body.content)


@dataclass(eq=False, slots=True, kw_only=True)
class _Body:
    timeout: asyncio.Timeout
    content: bytearray = field(default_factory=bytearray)
    given_up: bool = False
