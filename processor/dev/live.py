"""What happens in the house, told to every page that looks, as server-sent events.

Nobody is waited for: a page that reads too slowly is let go, connects again by itself, and begins with the latest.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
import json
import secrets
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta
from typing import Any, Final

from aiohttp import hdrs, web

KEPT: Final = 100
"""Messages that a page gets to see which looks later."""
BACKLOG: Final = KEPT + 200
"""Messages that a page may be behind before it is let go."""
HEARTBEAT: Final = timedelta(seconds=15)

_END: Final = b""


class Live:
    """Tells, and keeps the latest of what it told. Each message has a number, which begins anew with each run."""

    def __init__(self, *, backlog: int = BACKLOG) -> None:
        self._backlog = backlog
        self._kept: deque[bytes] = deque(maxlen=KEPT)
        self._readers: set[asyncio.Queue[bytes]] = set()
        self._number = 0
        self._run = secrets.token_hex(4)
        self._ended = False

    @property
    def readers(self) -> int:
        """How many pages look."""
        return len(self._readers)

    def tell(self, kind: str, said: Mapping[str, Any] | bytes, *, keep: bool = True) -> None:
        """Tell everybody. ``said`` is an object, or its JSON in one line. ``keep`` it for those who come later."""
        data = said if isinstance(said, bytes) else json.dumps(said).encode()
        self._number += 1
        line = b"id: %d\nevent: %b\ndata: %b\n\n" % (self._number, kind.encode(), data)
        if keep:
            self._kept.append(line)
        for reader in tuple(self._readers):
            self._offer(reader, line)

    def end(self) -> None:
        """No more: the house closes."""
        self._ended = True
        for reader in tuple(self._readers):
            self._let_go(reader)

    async def serve(self, request: web.Request, headers: Mapping[str, str]) -> web.StreamResponse:
        """Tell one page, until either side goes."""
        response = web.StreamResponse(headers={**headers, hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        reader: asyncio.Queue[bytes] = asyncio.Queue(self._backlog)
        greeting = b'retry: 1000\nevent: hello\ndata: {"run": "%b"}\n\n' % self._run.encode()
        for line in (greeting, *self._kept):
            reader.put_nowait(line)
        self._readers.add(reader)
        if self._ended:
            self._let_go(reader)
        try:
            with suppress(ConnectionError):
                await _send(response, reader)
        finally:
            self._readers.discard(reader)
        return response

    def _offer(self, reader: "asyncio.Queue[bytes]", line: bytes) -> None:
        try:
            reader.put_nowait(line)
        except asyncio.QueueFull:
            self._let_go(reader)

    def _let_go(self, reader: "asyncio.Queue[bytes]") -> None:
        self._readers.discard(reader)
        while not reader.empty():
            reader.get_nowait()
        reader.put_nowait(_END)


async def _send(response: web.StreamResponse, reader: "asyncio.Queue[bytes]") -> None:
    while True:
        try:
            async with asyncio.timeout(HEARTBEAT.total_seconds()):
                line = await reader.get()
        except TimeoutError:
            line = b":\n\n"
        if line == _END:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(HEARTBEAT.total_seconds()):
                await response.write(line)
                continue
        return
