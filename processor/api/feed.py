"""Committed events, as they come, to whoever waits for those of one payload."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from processor.core.publishing.message import OutboxMessage

Topic = tuple[str, str]
"""Application name and payload."""


class Feed:
    """Wakes those who wait. What came they read from the store, so that nothing is missed and nothing piles up."""

    def __init__(self) -> None:
        self._waiting: defaultdict[Topic, set[asyncio.Event]] = defaultdict(set)

    def hear(self, messages: Sequence[OutboxMessage]) -> None:
        """Events were committed; none at all: some may have been. Costs nothing while nobody waits."""
        if not self._waiting:
            return
        topics = {(each.message.app, each.message.payload) for each in messages} if messages else set(self._waiting)
        for topic in topics & self._waiting.keys():
            for waiting in self._waiting[topic]:
                waiting.set()

    @contextmanager
    def waiting(self, topic: Topic) -> Iterator[asyncio.Event]:
        """An event that is set whenever the payload has news. The caller clears it."""
        news = asyncio.Event()
        self._waiting[topic].add(news)
        try:
            yield news
        finally:
            self._waiting[topic].discard(news)
            if not self._waiting[topic]:
                del self._waiting[topic]
