"""What consumers make of each event, told as it happens: what push pushes, and the rows that app-state keeps."""

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
from processor.dev.live import Live

PUSH: Final = "push"
APP_STATE: Final = "app-state"
CONSUMERS: Final = (PUSH, APP_STATE)
_ROWS: Final[Mapping[str, str]] = {
    "sign_requests": "select family, state, failure from sign_requests where payload = ?",
    "accounts": "select account, network from accounts where payload = ?",
    "payments": "select amount, currency, identifier, network, ledger_index from payments where payload = ?",
}
"""Table of app-state to what is shown of it."""


class ToldChannel(LogChannel):
    """Logs what would be pushed, and tells it."""

    def __init__(self, live: Live) -> None:
        self._live = live

    async def push(self, device: Device, notification: Notification) -> None:
        """Log it and tell it."""
        await super().push(device, notification)
        said = {"event_id": notification.id, "title": notification.title, "text": notification.body}
        self._live.tell("push", {**said, "device": mask_token(device.token)})


def found(name: str, live: Live) -> NamedConsumer:
    """The consumer of that name; push tells what it does."""
    if name != PUSH:
        return find(name)

    class ToldPush(Push):
        """Pushes through `ToldChannel` to every device."""

        queue = Push.queue

        def __init__(self, resources: Resources) -> None:
            super().__init__(resources, dict.fromkeys(OPENERS, ToldChannel(live)))

    return NamedConsumer(name=name, consumer=ToldPush)


def announcing(live: Live) -> Deliver:
    """The delivery that tells each event which is published, and which consumers will get it."""
    bindings = {name: find(name).consumer.bindings for name in CONSUMERS}

    async def deliver(message: Message) -> None:
        bound = [name for name in CONSUMERS if _is_bound(bindings[name], message.routing_key)]
        live.tell("published", b'{"consumers":%b,"event":%b}' % (json.dumps(bound).encode(), message.body))

    return deliver


def settling(name: str, deliver: Deliver, live: Live, folder: Path) -> Deliver:
    """``deliver``, and what its consumer then has in its tables in ``folder``."""

    async def settle(message: Message) -> None:
        await deliver(message)
        rows = await asyncio.to_thread(_rows, folder, message.payload) if name == APP_STATE else []
        live.tell("settled", {"consumer": name, "event_id": message.id, "rows": rows})

    return settle


def _is_bound(bindings: Sequence[str], routing_key: str) -> bool:
    return any(topic_matches(binding, routing_key) for binding in bindings)


def _rows(folder: Path, payload: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"file:{folder}/{APP_STATE}.db?mode=ro", uri=True)) as reader:
        reader.row_factory = sqlite3.Row
        found = {table: reader.execute(query, (payload,)).fetchall() for table, query in _ROWS.items()}
    return [{"table": table, **dict(row)} for table, rows in found.items() for row in rows]
