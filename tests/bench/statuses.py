"""Xumm's status sockets, as far as a benchmark needs them: a greeting, a keepalive, and what somebody tells.

A measurement of memory and CPU runs it as a process of its own, so that its costs are nobody else's:

    python -m tests.bench.statuses PORT

``GET /census`` tells in JSON who is there: the fields of `Census`.
"""

import asyncio
import json
import resource
import sys
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

KEEPALIVE_SECONDS: Final = 15.0
"""How often Xumm says when the payload expires."""
CENSUS_PATH: Final = "/census"
_EXPIRES_IN: Final = '{"expires_in_seconds":86400}'


@dataclass(frozen=True, slots=True, kw_only=True)
class Census:
    """Who is there, and who was."""

    open: int
    """Sockets that are open and were greeted."""
    payloads: int
    """Payloads for which there ever was one."""
    connections: int
    """Sockets that there ever were: more than ``payloads`` if one was opened twice."""


class Statuses:
    """A running server on 127.0.0.1, for any payload."""

    def __init__(self, port: int = 0) -> None:
        """``port`` 0 takes a free one."""
        self._asked_port = port
        self._connections: Counter[str] = Counter()
        self._open: dict[str, ServerConnection] = {}
        self._server: Server

    @property
    def url(self) -> str:
        """In the place of ``https://xumm.app``."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def census(self) -> Census:
        return Census(open=len(self._open), payloads=len(self._connections), connections=self._connections.total())

    async def __aenter__(self) -> Self:
        self._server = await serve(
            self._talk,
            "127.0.0.1",
            self._asked_port,
            process_request=self._answer,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            backlog=1024,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def tell(self, payload: str, text: str) -> None:
        """Say something on the payload's socket. Raises ``KeyError`` if there is none."""
        await self._open[payload].send(text)

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        if request.path != CENSUS_PATH:
            return None
        return connection.respond(HTTPStatus.OK, json.dumps(asdict(self.census)))

    async def _talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        payload = connection.request.path.removeprefix("/sign/")
        self._connections[payload] += 1
        with suppress(ConnectionClosed):
            await connection.send(f'{{"message":"Welcome {payload}"}}')
            await connection.send(_EXPIRES_IN)
            self._open[payload] = connection
            while not await _is_closed_within(connection, KEEPALIVE_SECONDS):
                await connection.send(_EXPIRES_IN)
        if self._open.get(payload) is connection:
            del self._open[payload]


async def _is_closed_within(connection: ServerConnection, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await connection.wait_closed()
    except TimeoutError:
        return False
    return True


def allow_files() -> int:
    """Let this process open as many files as it may; how many that is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


async def _serve(port: int) -> None:
    async with Statuses(port):
        await asyncio.Event().wait()


if __name__ == "__main__":
    allow_files()
    asyncio.run(_serve(int(sys.argv[1])))
