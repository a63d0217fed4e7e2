"""The live events of the sandbox page, as server-sent events.

The stream waits for no page: one that reads too slowly is disconnected, connects again by itself, and gets the latest
events.

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
"""The latest events, which a page gets when it connects."""
BACKLOG: Final = KEPT + 200
"""Events that a page may be behind before it is disconnected."""
HEARTBEAT: Final = timedelta(seconds=15)

_END: Final = b""


class EventStream:
    """Sends events to all pages, and keeps the latest ones. Events are numbered anew in each run."""

    def __init__(self, *, backlog: int = BACKLOG) -> None:
        self._backlog = backlog
        self._kept: deque[bytes] = deque(maxlen=KEPT)
        self._readers: set[asyncio.Queue[bytes]] = set()
        self._number = 0
        self._run = secrets.token_hex(4)
        self._ended = False

    @property
    def readers(self) -> int:
        """The number of connected pages."""
        return len(self._readers)

    def send(self, kind: str, content: Mapping[str, Any] | bytes, *, keep: bool = True) -> None:
        """Send an event with ``content``, an object or its JSON in a line; ``keep`` it for pages that connect later."""
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self._number += 1
        line = b"id: %d\nevent: %b\ndata: %b\n\n" % (self._number, kind.encode(), data)
        if keep:
            self._kept.append(line)
        for reader in tuple(self._readers):
            self._offer(reader, line)

    def end(self) -> None:
        """Disconnect all pages, since the process stops."""
        self._ended = True
        for reader in tuple(self._readers):
            self._disconnect(reader)

    async def serve(self, request: web.Request, headers: Mapping[str, str]) -> web.StreamResponse:
        """Serve one page until either side disconnects."""
        response = web.StreamResponse(headers={**headers, hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        reader: asyncio.Queue[bytes] = asyncio.Queue(self._backlog)
        greeting = b'retry: 1000\nevent: hello\ndata: {"run": "%b"}\n\n' % self._run.encode()
        for line in (greeting, *self._kept):
            reader.put_nowait(line)
        self._readers.add(reader)
        if self._ended:
            self._disconnect(reader)
        try:
            with suppress(ConnectionError):
                await _write(response, reader)
        finally:
            self._readers.discard(reader)
        return response

    def _offer(self, reader: "asyncio.Queue[bytes]", line: bytes) -> None:
        try:
            reader.put_nowait(line)
        except asyncio.QueueFull:
            self._disconnect(reader)

    def _disconnect(self, reader: "asyncio.Queue[bytes]") -> None:
        self._readers.discard(reader)
        while not reader.empty():
            reader.get_nowait()
        reader.put_nowait(_END)


async def _write(response: web.StreamResponse, reader: "asyncio.Queue[bytes]") -> None:
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
