"""A tiny webhook server and a plan to load it with, for the tests of the benchmark itself."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from aiohttp.test_utils import TestServer

from tests.bench.load import Plan
from tests.bench.webhooks import Destination

API_KEY = "0f1e2d3c-4b5a-4978-8695-a4b3c2d1e0f0"
API_SECRET = "12345678-90ab-4cde-8f01-234567890abc"
TAG = "deadbeef"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    app = web.Application()
    app.router.add_post("/webhooks/shop", handler)
    async with TestServer(app) as server:
        assert server.port is not None
        yield server.port


def plan(port: int, *, count: int, duplicates: float = 0.0, patience: float = 20.0) -> Plan:
    to = Destination(host=f"127.0.0.1:{port}", path="/webhooks/shop", application=API_KEY, secret=API_SECRET, tag=TAG)
    return Plan(to=to, port=port, count=count, seconds=10, connections=4, duplicates=duplicates, patience=patience)
