"""What arrived in a queue, as events."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import aio_pika

from tests.consumers.broker import until

Event = dict[str, Any]


class Tap:
    """Takes the messages of one queue. It connects for each look, so the broker may die in between."""

    def __init__(self, url: str, queue: str) -> None:
        self._url = url
        self._queue = queue
        self.events: list[Event] = []
        """All that was taken so far, in the order of arrival, repetitions included."""
        self.raw: list[str] = []
        """The same messages with their properties, as text."""

    async def take(self) -> list[Event]:
        """Empty the queue."""
        async with await aio_pika.connect(self._url) as connection:
            channel = await connection.channel()
            queue = await channel.get_queue(self._queue, ensure=False)
            while message := await queue.get(no_ack=True, fail=False):
                self.events.append(json.loads(message.body))
                self.raw.append(f"{message.info()} {message.headers} {message.body.decode()}")
        return self.events

    async def until(self, holds: Callable[[list[Event]], bool], *, seconds: float = 60) -> list[Event]:
        """Take messages until ``holds`` of all that were taken."""

        async def look() -> bool:
            return holds(await self.take())

        await until(look, seconds)
        return self.events

    async def until_types_of(self, payloads: Iterable[str], *types: str, seconds: float = 60) -> list[Event]:
        """Take messages until each of ``payloads`` has an event of each of ``types``."""
        wanted = {(payload, kind) for payload in payloads for kind in types}
        return await self.until(lambda events: wanted <= ids_of(events).keys(), seconds=seconds)


def ids_of(events: Iterable[Event]) -> dict[tuple[str, str], set[str]]:
    """The ids under which each fact, (payload, type), was published. More than one is a defect."""
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for event in events:
        ids[event["subject"], event["type"]].add(event["id"])
    return dict(ids)


def ambiguous(events: Iterable[Event]) -> list[tuple[str, str]]:
    """The facts that were published under several ids."""
    return [fact for fact, ids in ids_of(events).items() if len(ids) > 1]


def types_of(events: Iterable[Event], payload: str) -> list[str]:
    """The types of a payload's events, repetitions left out, in the order of their arrival."""
    return [event["type"].removeprefix("xumm.") for event in once(events) if event["subject"] == payload]


def once(events: Iterable[Event]) -> list[Event]:
    """The first of each id: what a consumer that dedupes sees."""
    return list({event["id"]: event for event in reversed(list(events))}.values())[::-1]


def disordered(events: Iterable[Event]) -> list[str]:
    """The payloads of which a later event came first, repetitions left out."""
    sequences: dict[str, list[int]] = defaultdict(list)
    for event in once(events):
        sequences[event["subject"]].append(int(event["sequence"]))
    return [payload for payload, found in sequences.items() if found != sorted(found)]
