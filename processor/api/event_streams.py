"""``…/events``: the events of a payload as server-sent events, from the first on or after ``Last-Event-ID``.

Every committed event is sent, in order, with its number as id. The stream ends after the payload's outcome.

Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from itertools import chain
from typing import Final

import orjson
from aiohttp import hdrs, web

from processor.api.endpoint import PRIVATE_HEADERS, sharing_headers
from processor.core.access.limits import Rank
from processor.core.errors import StoreError
from processor.core.payload.entry import Commit
from processor.core.publishing.message import OutboxMessage
from processor.core.sign_request.order import rank_of
from processor.core.sign_request.request import StoredRequest
from processor.store.ports import SignRequestStore
from processor.web.problem import Problem

HEARTBEAT: Final = timedelta(seconds=15)
"""Between comments, which keep proxies from closing the connection and show that a client is gone."""
SHARED_POLL: Final = timedelta(seconds=2)
"""Between reads of the store where other instances commit events too."""
LONGEST: Final = timedelta(hours=1)
"""After which the client has to connect again; it misses nothing."""
BATCH: Final = 50
_OUTCOME: Final = "xumm.resolve."
_MAX_DIGITS: Final = 18
_Topic = tuple[str, str]
"""Application name and payload."""


class EventNotifier:
    """Tells streams that their payload has new events. A stream then reads them from the store, so none is missed."""

    def __init__(self) -> None:
        self._subscribers: defaultdict[_Topic, set[asyncio.Event]] = defaultdict(set)

    def observe(self, commit: Commit) -> None:
        """Wake the subscribers of the commit's events; after an uncertain commit, wake every subscriber."""
        if not self._subscribers:
            return
        if not commit.certain:
            self.wake_all()
            return
        for topic in {(each.message.app, each.message.payload) for each in commit.messages} & self._subscribers.keys():
            for news in self._subscribers[topic]:
                news.set()

    def wake_all(self) -> None:
        """Wake every subscriber."""
        for news in chain.from_iterable(self._subscribers.values()):
            news.set()

    @contextmanager
    def subscribe(self, topic: _Topic) -> Iterator[asyncio.Event]:
        """Yield an event that is set whenever the payload has news. The caller clears it."""
        news = asyncio.Event()
        self._subscribers[topic].add(news)
        try:
            yield news
        finally:
            self._subscribers[topic].discard(news)
            if not self._subscribers[topic]:
                del self._subscribers[topic]


class EventStreams:
    """Serves event streams, within a number for each caller and a number in all."""

    def __init__(
        self,
        store: SignRequestStore,
        notifier: EventNotifier,
        *,
        origins: Collection[str] = (),
        limit: int,
        in_all: int = 1000,
        heartbeat: timedelta = HEARTBEAT,
    ) -> None:
        """``limit`` is for each caller; pages of ``origins`` may read the streams."""
        self._store = store
        self._notifier = notifier
        self._origins = origins
        self._limit = limit
        self._in_all = in_all
        self._pause_for = min(heartbeat, SHARED_POLL) if store.shared else heartbeat
        self._open: Counter[str] = Counter()
        self._of_rank: Counter[Rank] = Counter()
        self._ending = asyncio.Event()

    def end(self) -> None:
        """End all streams, because the service stops."""
        self._ending.set()
        self._notifier.wake_all()

    async def serve(self, request: web.Request, stored: StoredRequest, caller: str) -> web.StreamResponse:
        """Send the events of a sign request. Raises `Problem` and `StoreError` before the response has begun."""
        after = _parse_last_event_id(request)
        topic = _topic_of(stored)
        with self._count(caller, rank_of(stored.owner)), self._notifier.subscribe(topic) as news:
            first = await self._store.load_events(*topic, after, BATCH)
            headers = {hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8", "X-Accel-Buffering": "no"}
            response = web.StreamResponse(headers=headers | PRIVATE_HEADERS | sharing_headers(request, self._origins))
            with suppress(ConnectionError, TimeoutError, StoreError):
                await response.prepare(request)  # the client may have left
                async with asyncio.timeout(LONGEST.total_seconds()):
                    await self._send(response, stored, first, after, news)
            with suppress(ConnectionError):
                await response.write_eof()
            return response

    async def _send(
        self,
        response: web.StreamResponse,
        stored: StoredRequest,
        batch: Sequence[OutboxMessage],
        after: int,
        news: asyncio.Event,
    ) -> None:
        await response.write(b"retry: 2000\n\n")
        while True:
            for position, message in batch:
                after = position
                body = _with_callers_identifier(message.body, stored)
                await response.write(b"id: %d\nevent: %b\ndata: %b\n\n" % (position, message.type.encode(), body))
                if message.type.startswith(_OUTCOME):
                    return
            if self._ending.is_set():
                return
            if len(batch) < BATCH:
                await self._wait(response, news)
            news.clear()
            batch = await self._store.load_events(*_topic_of(stored), after, BATCH)

    async def _wait(self, response: web.StreamResponse, news: asyncio.Event) -> None:
        try:
            async with asyncio.timeout(self._pause_for.total_seconds()):
                await news.wait()
        except TimeoutError:
            await response.write(b":\n\n")

    @contextmanager
    def _count(self, caller: str, rank: Rank) -> Iterator[None]:
        """Count an open stream. Anybody may begin a sign-in, so streams of sign-ins get half of the places at most."""
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


def _topic_of(stored: StoredRequest) -> _Topic:
    return stored.app, stored.payload or ""


def _with_callers_identifier(body: bytes, stored: StoredRequest) -> bytes:
    """Replace the identifier that Xumm knows by the one that the caller gave."""
    if stored.named == stored.identifier:
        return body
    event = orjson.loads(body)
    meta = event["data"]["custom_meta"]
    if meta is None or meta.get("identifier") != stored.identifier:
        return body
    meta["identifier"] = stored.named
    return orjson.dumps(event)


def _parse_last_event_id(request: web.Request) -> int:
    """Return the number of the last event that the client has; 0 if the header is missing or invalid."""
    text = request.headers.get("Last-Event-ID", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS else 0
