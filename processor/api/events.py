"""``…/events``: what happens to a payload, as server-sent events, from the first or from ``Last-Event-ID`` on.

Every event that is committed comes, in order, each with its number as id. The stream ends after the payload's outcome.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Final

import orjson
from aiohttp import hdrs, web

from processor.api.endpoint import Gate
from processor.api.feed import Feed
from processor.core.access.limits import Rank
from processor.core.errors import StoreError
from processor.core.publishing.message import OutboxMessage
from processor.core.sign_request.order import rank_of
from processor.core.sign_request.request import StoredRequest
from processor.store.ports import SignRequestStore
from processor.web.problem import Problem

HEARTBEAT: Final = timedelta(seconds=15)
"""A comment, so that proxies keep the connection and a client that is gone is noticed."""
SHARED_POLL: Final = timedelta(seconds=2)
"""How often it is read where other instances commit events too."""
LONGEST: Final = timedelta(hours=1)
"""After which a client has to connect again, which costs it nothing."""
BATCH: Final = 50
_LAST: Final = "xumm.resolve."
_MAX_DIGITS: Final = 18


class Streams:
    """Serves event streams, so many at once for each caller and in all."""

    def __init__(
        self,
        store: SignRequestStore,
        feed: Feed,
        gate: Gate,
        *,
        limit: int,
        in_all: int = 1000,
        heartbeat: timedelta = HEARTBEAT,
    ) -> None:
        self._store = store
        self._feed = feed
        self._gate = gate
        self._limit = limit
        self._in_all = in_all
        self._pause_for = min(heartbeat, SHARED_POLL) if store.shared else heartbeat
        self._open: Counter[str] = Counter()
        self._of_rank: Counter[Rank] = Counter()
        self._ending = asyncio.Event()

    def end(self) -> None:
        """End all streams: the service stops."""
        self._ending.set()
        self._feed.hear([])

    async def serve(self, request: web.Request, found: StoredRequest, caller: str) -> web.StreamResponse:
        """The events of a sign request, for ``caller``. Raises `Problem` and `StoreError` before it has begun."""
        after = _last_seen(request)
        topic = _topic(found)
        with self._place(caller, rank_of(found.owner)), self._feed.waiting(topic) as news:
            first = await self._store.load_events(*topic, after, BATCH)
            headers = {hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
            response = web.StreamResponse(headers=headers | self._gate.stream_headers(request))
            with suppress(ConnectionError, TimeoutError, StoreError):
                await response.prepare(request)  # a client may be gone by now
                async with asyncio.timeout(LONGEST.total_seconds()):
                    await self._send(response, found, first, after, news)
            with suppress(ConnectionError):
                await response.write_eof()
            return response

    async def _send(
        self,
        response: web.StreamResponse,
        found: StoredRequest,
        batch: Sequence[OutboxMessage],
        after: int,
        news: asyncio.Event,
    ) -> None:
        await response.write(b"retry: 2000\n\n")
        while True:
            for position, message in batch:
                after = position
                body = _shown(message.body, found)
                await response.write(b"id: %d\nevent: %b\ndata: %b\n\n" % (position, message.type.encode(), body))
                if message.type.startswith(_LAST):
                    return
            if self._ending.is_set():
                return
            if len(batch) < BATCH:
                await self._pause(response, news)
            news.clear()
            batch = await self._store.load_events(*_topic(found), after, BATCH)

    async def _pause(self, response: web.StreamResponse, news: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._pause_for.total_seconds()):
                await news.wait()
        except TimeoutError:
            await response.write(b":\n\n")

    @contextmanager
    def _place(self, caller: str, rank: Rank) -> Iterator[None]:
        """Sign-ins, which anybody may begin, leave half of all streams to others."""
        strangers = rank == "stranger" and self._of_rank[rank] >= (self._in_all + 1) // 2
        if strangers or self._open[caller] >= self._limit or self._of_rank.total() >= self._in_all:
            raise Problem("too_many_streams", headers={hdrs.RETRY_AFTER: "10"})
        self._open[caller] += 1
        self._of_rank[rank] += 1
        try:
            yield
        finally:
            self._of_rank[rank] -= 1
            self._open[caller] -= 1
            if not self._open[caller]:
                del self._open[caller]


def _topic(found: StoredRequest) -> tuple[str, str]:
    return found.app, found.payload or ""


def _shown(body: bytes, found: StoredRequest) -> bytes:
    """The event for whoever asked for the payload: with the identifier that they gave it."""
    if found.named == found.identifier:
        return body
    event = orjson.loads(body)
    meta = event["data"]["custom_meta"]
    if meta is None or meta.get("identifier") != found.identifier:
        return body
    meta["identifier"] = found.named
    return orjson.dumps(event)


def _last_seen(request: web.Request) -> int:
    """The number of the last event that the client has; what makes no sense counts as none."""
    text = request.headers.get("Last-Event-ID", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else 0
