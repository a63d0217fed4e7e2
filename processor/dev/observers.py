"""Observers of the consumers, which report to the page what push sends and which rows app-state writes."""

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from consumers.push.channels.providers import OPENERS, LogChannel
from consumers.push.consumer import Push
from consumers.push.notification import Notification
from consumers.push.registry.devices import Device, mask_token
from consumers.runtime.consumer import Resources
from consumers.runtime.discovery import NamedConsumer, find
from processor.broker.embedded import Deliver
from processor.core.publishing.debts import topic_matches
from processor.core.publishing.message import Message
from processor.dev.event_stream import EventStream

PUSH: Final = "push"
APP_STATE: Final = "app-state"
CONSUMERS: Final = (PUSH, APP_STATE)
_ROWS: Final[Mapping[str, str]] = {
    "sign_requests": "select family, state, failure from sign_requests where payload = ?",
    "accounts": "select account, network from accounts where payload = ?",
    "payments": "select amount, currency, identifier, network, ledger_index from payments where payload = ?",
}
"""Table of app-state to the query of its rows for a payload."""


class ObservedChannel(LogChannel):
    """Logs each push instead of sending it, and reports it to the page."""

    def __init__(self, stream: EventStream) -> None:
        self._stream = stream

    async def push(self, device: Device, notification: Notification) -> None:
        """Log the push and report it."""
        await super().push(device, notification)
        content = {"event_id": notification.id, "title": notification.title, "text": notification.body}
        self._stream.send("push", {**content, "device": mask_token(device.token)})


def find_consumer(name: str, stream: EventStream) -> NamedConsumer:
    """The consumer ``name``; push reports each push to ``stream``."""
    if name != PUSH:
        return find(name)

    class ObservedPush(Push):
        """Push with an `ObservedChannel` for every platform."""

        queue = Push.queue

        def __init__(self, resources: Resources) -> None:
            super().__init__(resources, dict.fromkeys(OPENERS, ObservedChannel(stream)))

    return NamedConsumer(name=name, consumer=ObservedPush)


def report_published(stream: EventStream) -> Deliver:
    """A subscriber that reports each published event and the consumers that will get it."""
    bindings = {name: find(name).consumer.bindings for name in CONSUMERS}

    async def deliver(message: Message) -> None:
        bound = [name for name in CONSUMERS if _is_bound(bindings[name], message.routing_key)]
        stream.send("published", b'{"consumers":%b,"event":%b}' % (json.dumps(bound).encode(), message.body))

    return deliver


def report_settled(name: str, deliver: Deliver, stream: EventStream, folder: Path) -> Deliver:
    """``deliver``, which then reports the rows of the consumer's tables in ``folder``."""

    async def settle(message: Message) -> None:
        await deliver(message)
        rows = await asyncio.to_thread(_read_state, folder, message.payload) if name == APP_STATE else []
        stream.send("settled", {"consumer": name, "event_id": message.id, "rows": rows})

    return settle


def read_rows(folder: Path, consumer: str, query: str, parameter: str) -> list[sqlite3.Row]:
    """The rows of ``query`` in the database of ``consumer`` in ``folder``. Raises ``sqlite3.OperationalError``."""
    with closing(sqlite3.connect(f"file:{folder}/{consumer}.db?mode=ro", uri=True)) as reader:
        reader.row_factory = sqlite3.Row
        return reader.execute(query, (parameter,)).fetchall()


def _is_bound(bindings: Sequence[str], routing_key: str) -> bool:
    return any(topic_matches(binding, routing_key) for binding in bindings)


def _read_state(folder: Path, payload: str) -> list[dict[str, Any]]:
    return [
        {"table": table, **dict(row)}
        for table, query in _ROWS.items()
        for row in read_rows(folder, APP_STATE, query, payload)
    ]
