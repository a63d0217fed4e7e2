"""Somebody who listens on a status socket of the sandbox."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

PATIENCE = 10


class Listener:
    """An open status socket, and what was heard on it so far, keepalives apart."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket
        self.texts: list[str] = []
        self.keepalives: list[int] = []

    @property
    def heard(self) -> list[Any]:
        return [json.loads(text) for text in self.texts if not _is_keepalive(text)]

    async def until(self, condition: Callable[["Listener"], object]) -> None:
        """Hear until ``condition`` holds."""
        async with asyncio.timeout(PATIENCE):
            while not condition(self):
                await self._hear()

    async def hear(self, count: int) -> list[Any]:
        """The next ``count`` messages that are no keepalives."""
        before = len(self.heard)
        await self.until(lambda listener: len(listener.heard) >= before + count)
        return self.heard[before:]

    async def closed(self) -> int | None:
        """The code with which the sandbox closes, after whatever it still says."""
        async with asyncio.timeout(PATIENCE):
            while not self.socket.closed:
                await self._hear()
        return self.socket.close_code

    async def _hear(self) -> None:
        message = await self.socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            self.texts.append(message.data)
            if _is_keepalive(message.data):
                self.keepalives.append(json.loads(message.data)["expires_in_seconds"])


@asynccontextmanager
async def listening(session: aiohttp.ClientSession, url: str) -> AsyncIterator[Listener]:
    """A listener on the socket at ``url``."""
    async with session.ws_connect(url, max_msg_size=2**22) as socket:
        yield Listener(socket)


def _is_keepalive(text: str) -> bool:
    return text.startswith('{"expires_in_seconds":') and text.endswith("}") and "{" not in text[1:]
