"""A service that webhooks are sent to, with answers to order."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aiohttp import web

REDIRECTS = (302, 307)


class Service:
    """Answers ``statuses`` in turn, the last one for good; keeps what it was sent. Status 0 never answers.

    A redirect leads to ``/moved``, which answers with ``moved``; ``methods`` are those of the requests that came there.
    """

    def __init__(self, *statuses: int, moved: int = 200) -> None:
        self.statuses: Sequence[int] = statuses or (200,)
        self.moved = moved
        self.methods: list[str] = []
        self.received: list[tuple[dict[str, str], bytes]] = []
        self.url = ""

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_route("*", "/webhooks/shop", self._take)
        app.router.add_route("*", "/moved", self._take_moved)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.01, auto_decompress=False)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/webhooks/shop"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.received.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        status = self.statuses[min(len(self.received), len(self.statuses)) - 1]
        if status == 0:
            await asyncio.Event().wait()
        headers = {"Location": "/moved"} if status in REDIRECTS else {}
        return web.json_response({"reason": f"because {status}"}, status=status, headers=headers)

    async def _take_moved(self, request: web.Request) -> web.Response:
        self.methods.append(request.method)
        headers = {"Location": "/moved"} if self.moved in REDIRECTS else {}
        return web.json_response({}, status=self.moved, headers=headers)
