"""Committed events, as they come, to whoever waits for those of one payload."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

from processor.core.payload.entry import Commit

Topic = tuple[str, str]
"""Application name and payload."""


class Feed:
    """Wakes those who wait. What came they read from the store, so that nothing is missed and nothing piles up."""

    def __init__(self) -> None:
        self._waiting: defaultdict[Topic, set[asyncio.Event]] = defaultdict(set)

    def observe(self, commit: Commit) -> None:
        """Wake those whose payload has news, or may have. Costs nothing while nobody waits."""
        if not self._waiting:
            return
        if not commit.certain:
            self.wake_all()
            return
        for topic in {(each.message.app, each.message.payload) for each in commit.messages} & self._waiting.keys():
            for waiting in self._waiting[topic]:
                waiting.set()

    def wake_all(self) -> None:
        """Wake everybody who waits."""
        for waiting in chain.from_iterable(self._waiting.values()):
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
