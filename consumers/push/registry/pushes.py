"""Tokens that a provider does not take, though it does not say that they are dead.

A wrong topic, address or key makes a provider refuse every token there is. So such an answer removes a device only if
it is given to several events over a day, and only while the provider takes the tokens of others.
"""

import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, delete, select

from consumers.push.registry import devices as registry
from consumers.push.registry.devices import Device
from consumers.push.registry.tables import doubts, pushes
from processor.database import insert_into

EVENTS: Final = 3
SPAN: Final = timedelta(hours=24)


def find_unserved(connection: Connection, event_id: str, owners: Iterable[str], application: str) -> list[Device]:
    """Devices of ``owners`` that hear of ``application``, each once, that did not hear of the event yet."""
    served = set(connection.scalars(select(pushes.c.token_hash).where(pushes.c.event_id == event_id)))
    found = [
        device for device in registry.list_devices(connection, owners) if device.application in {None, application}
    ]
    waiting = {device.token_hash: device for device in found}
    return [device for token_hash, device in waiting.items() if token_hash not in served]


def note_served(connection: Connection, event_id: str, device: Device) -> None:
    """Remember that ``device`` heard of the event. Idempotent."""
    row = {"event_id": event_id, "token_hash": device.token_hash, "pushed_at": int(time.time())}
    connection.execute(insert_into(connection.dialect, pushes).values(row).on_conflict_do_nothing())


def forget_served(connection: Connection, older_than: timedelta) -> int:
    """Drop notes of pushes longer ago; how many."""
    limit = int(time.time() - older_than.total_seconds())
    return connection.execute(delete(pushes).where(pushes.c.pushed_at < limit)).rowcount


def note_refusal(connection: Connection, event_id: str, device: Device, *, removable: bool) -> bool:
    """Doubt ``device`` because of one event; whether it was removed for it. A retried event counts once."""
    note_served(connection, event_id, device)
    row = {"token_hash": device.token_hash, "since": int(time.time()), "events": 1}
    more = {"events": doubts.c.events + 1}
    connection.execute(
        insert_into(connection.dialect, doubts)
        .values(row)
        .on_conflict_do_update(index_elements=["token_hash"], set_=more)
    )
    doubt = connection.execute(select(doubts).where(doubts.c.token_hash == device.token_hash)).one()
    lasted = time.time() - doubt.since >= SPAN.total_seconds()
    return removable and lasted and doubt.events >= EVENTS and registry.forget(connection, device.token_hash) > 0


def clear_refusals(connection: Connection, device: Device) -> None:
    """The provider took the token after all."""
    connection.execute(delete(doubts).where(doubts.c.token_hash == device.token_hash))
