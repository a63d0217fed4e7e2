"""Servers on 127.0.0.1 that play the other side of an HTTP call, badly where a test wants it."""

import asyncio
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from yarl import URL

Reply = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True, kw_only=True)
class Peer:
    """A running HTTP server: answers as ``reply`` says and keeps what it was asked."""

    url: URL
    reply: Reply
    asked: list[web.Request] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: set[object] = field(default_factory=set)


@asynccontextmanager
async def serving(reply: Reply, *, tls: Any = None) -> AsyncIterator[Peer]:
    """A peer for as long as the block lasts."""
    peer = Peer(url=URL(), reply=reply)

    async def handle(request: web.Request) -> web.StreamResponse:
        peer.asked.append(request)
        peer.bodies.append(await request.read())
        peer.connections.add(request.transport)
        return await peer.reply(request)

    runner = web.ServerRunner(web.Server(handle, handler_cancellation=True, access_log=None))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
        peer.url = URL(f"http{'s' if tls else ''}://127.0.0.1:{runner.addresses[0][1]}/")
        yield peer
    finally:
        await runner.cleanup()


@asynccontextmanager
async def serving_bytes(answer: bytes) -> AsyncIterator[URL]:
    """A server that sends ``answer`` to whoever asks, whatever it is, and closes."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


def says(body: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Reply:
    """A reply in JSON, or in bytes as they are."""

    async def reply(_request: web.Request) -> web.StreamResponse:
        if isinstance(body, bytes):
            return web.Response(
                body=body, status=status, headers={"Content-Type": "application/json", **(headers or {})}
            )
        return web.json_response(body, status=status, headers=headers)

    return reply


def drips(*, first: bytes) -> Reply:
    """A reply whose body starts and never ends."""

    async def reply(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        await response.write(first)
        await asyncio.Event().wait()
        return response

    return reply


def everything_said(error: BaseException) -> str:
    """All text that a log could get out of an error and of those it hangs on to."""
    return "\n".join(
        text for each in _chain(error) for text in (str(each), repr(each), *traceback.format_exception(each))
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    if error is not None:
        yield error
        yield from _chain(error.__cause__)
        yield from _chain(error.__context__)
