"""Event streams by themselves: what is sent while nothing happens, and what becomes of slow and lost clients."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from processor.api.endpoint import Gate, endpoint
from processor.api.events import BATCH, Streams
from processor.api.feed import Feed
from processor.core.access.limits import CallLimits, RequestLimits, RequestShares
from processor.core.publishing.message import Message, OutboxMessage
from processor.core.sign_request.request import StoredRequest
from processor.store.desk import StoredRequests
from processor.store.store import Store
from processor.store.writer import Writer
from tests.contract.test_store_requests import created
from tests.sandbox.clock import until
from tests.store.samples import APP, NOW, payload, webhook
from tests.support.peer import serving

SHORT = timedelta(milliseconds=20)
UUID = payload(1)
OPEN = StoredRequest(
    id=1,
    app=APP,
    owner="user:r1",
    kind="sign_request",
    identifier="one",
    account=None,
    tx_type="Payment",
    submit=True,
    reserved_at=datetime.now(UTC),
    expires_at=datetime.now(UTC),
    payload=UUID,
    answer=b"",
)


@dataclass(slots=True)
class Events:
    """A store of events, in memory."""

    shared: bool = False
    held: list[OutboxMessage] = field(default_factory=list)
    reads: int = 0

    async def events_of(self, app: str, payload: str, after: int, limit: int) -> Sequence[OutboxMessage]:
        self.reads += 1
        return [each for each in self.held if each.position > after][:limit]

    def add(self, kind: str = "xumm.sign.opened", size: int = 2) -> None:
        position = len(self.held) + 1
        message = Message(f"e{position}", kind, APP, UUID, "shop.sign.opened", b'"' + b"x" * size + b'"', 0, None)
        self.held.append(OutboxMessage(position, message))


@dataclass(slots=True, kw_only=True)
class Served:
    """Streams of one payload behind real HTTP."""

    streams: Streams
    feed: Feed
    url: str
    session: aiohttp.ClientSession

    def get(self, **headers: str) -> Any:
        return self.session.get(self.url, headers={name.replace("_", "-"): value for name, value in headers.items()})


@asynccontextmanager
async def served(store: Any, *, heartbeat: timedelta = SHORT) -> AsyncIterator[Served]:
    feed = Feed()
    origins = {"https://shop.example"}
    gate = Gate(
        callers=CallLimits(9),
        services=CallLimits(9),
        requests=RequestLimits(9, RequestShares()),
        time=lambda: 0.0,
        origins=origins,
    )
    streams = Streams(store, feed, gate, limit=1, heartbeat=heartbeat)

    async def serve(request: web.Request) -> web.StreamResponse:
        return await streams.serve(request, OPEN, "somebody")

    async with serving(endpoint(gate, "/events", {"GET": serve})) as peer, aiohttp.ClientSession() as session:
        yield Served(streams=streams, feed=feed, url=str(peer.url / "events"), session=session)


@pytest.mark.parametrize("shared", [False, True])
async def test_heartbeat(*, shared: bool) -> None:
    """While nothing happens a comment comes now and then, which no client takes for an event."""
    async with served(Events(shared=shared)) as it, asyncio.timeout(10), it.get() as response:
        assert await response.content.readexactly(len(b"retry: 2000\n\n:\n\n:\n\n")) == b"retry: 2000\n\n:\n\n:\n\n"


async def test_news_of_another_instance() -> None:
    """Where instances share a store, events come without anybody telling, and from the one that the client names."""
    store = Events(shared=True)
    store.add()
    async with served(store) as it, asyncio.timeout(10), it.get(Last_Event_ID="1") as response:
        store.add("xumm.resolve.rejected")
        text = await response.text()

    assert [line for line in text.splitlines() if line.startswith("id")] == ["id: 2"]


@pytest.mark.postgres
async def test_events_of_another_instance(postgres_url: str) -> None:
    """What one instance commits, the stream of another sends, and replays from any point."""
    opened = partial(Store.open, postgres_url)
    async with Writer(opened) as theirs, Writer(opened) as ours, asyncio.timeout(30):
        requests = StoredRequests(ours, clock=lambda: NOW)
        async with served(requests) as it, it.get() as response:
            await theirs.record(created(1))
            first = await _lines(response, b"event: xumm.sign.created")
        await theirs.record(webhook(1))
        number = next(line for line in first if line.startswith(b"id:")).removeprefix(b"id:").strip().decode()
        async with served(requests) as it, it.get(Last_Event_ID=number) as response:
            again = await _lines(response, b"event: xumm.sign.signed")

    assert requests.shared
    assert b"event: xumm.sign.created" not in again


async def _lines(response: aiohttp.ClientResponse, last: bytes) -> list[bytes]:
    """What comes until this line."""
    lines = [b""]
    while lines[-1] != last:
        lines.append((await response.content.readline()).strip())
    return lines


async def test_slow_reader() -> None:
    """It is waited for, not read ahead for: what it has not taken stays in the store."""
    store = Events()
    for _ in range(BATCH * 40):
        store.add(size=20_000)
    async with served(store, heartbeat=timedelta(hours=1)) as it, it.get() as response:
        await until(lambda: store.reads > 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await until(lambda: store.reads >= 40)
        response.close()
        await until(lambda: not it.streams._open)

    assert store.reads < 40


async def test_client_that_is_gone() -> None:
    """Its place is free again and nothing waits on its behalf, whether it left in silence or not."""
    store = Events()
    store.add()
    async with served(store) as it, asyncio.timeout(10):
        before = len(asyncio.all_tasks())
        for _ in range(5):
            async with aiohttp.ClientSession() as session, session.get(it.url) as response:
                assert response.status == 200
                await response.content.readline()
            await until(lambda: not it.streams._open)
        await until(lambda: len(asyncio.all_tasks()) <= before)

        assert it.feed._waiting == {}


async def test_what_a_page_may_read() -> None:
    """A listed page reads when to come again, also of a refusal, and is told apart from others by caches."""
    async with (
        served(Events()) as it,
        asyncio.timeout(10),
        it.get(Origin="https://shop.example") as first,
        it.get(Origin="https://shop.example") as refused,
        it.get(Origin="https://evil.example") as other,
    ):
        exposed = [each.headers.get("Access-Control-Expose-Headers", "") for each in (first, refused, other)]

        assert (refused.status, refused.headers["Retry-After"], refused.headers["Vary"]) == (429, "10", "Origin")

    assert ["Retry-After" in each for each in exposed] == [True, True, False]
