"""Bodies of requests, within bounds: how long one may be and take, and how much all that are under way may hold.

When they would hold more, the one that has been under way the longest is given up. A sender in good faith is done in
milliseconds, and a body that came whole with its head is never under way: whoever sends halves crowds out other halves.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from aiohttp import hdrs, web

from processor.web.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What requests may cost."""

    body_bytes: int = 64 * 1024
    body_timeout: timedelta = timedelta(seconds=5)
    bodies_bytes: int = 16 * 1024 * 1024
    """Of all bodies that are under way."""
    connections: int = 2000


class Bodies:
    """Reads bodies. Belongs to one event loop."""

    def __init__(self, limits: Limits) -> None:
        self.limits: Final = limits
        self._under_way: dict[_Body, None] = {}
        self._bytes = 0

    async def read(self, request: web.Request, most: int | None = None) -> bytes:
        """The body, of ``most`` bytes or what the limits say. Raises `Problem`; nothing is decompressed."""
        size = min(most or self.limits.body_bytes, self.limits.body_bytes)
        if hdrs.CONTENT_ENCODING in request.headers:
            raise Problem("content_encoding_not_supported")
        if (request.content_length or 0) > size:
            raise Problem("body_too_large")
        body = _Body(timeout=asyncio.timeout(self.limits.body_timeout.total_seconds()))
        try:
            if request.content.is_eof():  # it came with its head: no timer needed
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
        """All of it, or as much as shows that it is too large."""
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
    """One body on its way."""

    timeout: asyncio.Timeout
    content: bytearray = field(default_factory=bytearray)
    given_up: bool = False
