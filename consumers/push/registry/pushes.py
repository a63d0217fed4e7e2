"""The results of pushes: which devices were notified of an event, and which tokens a provider refused.

With a wrong topic, address or key a provider refuses every token. So a refusal that is not certain removes a device
only after several events over a day, and only while the provider accepts the tokens of other devices.
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
"""Events with a refusal, after which a device is removed."""
SPAN: Final = timedelta(hours=24)


def find_unserved(connection: Connection, event_id: str, owners: Iterable[str], application: str) -> list[Device]:
    """Devices of ``owners`` for events of ``application`` that were not notified of this event yet, each once."""
    served = set(connection.scalars(select(pushes.c.token_hash).where(pushes.c.event_id == event_id)))
    found = [
        device for device in registry.list_devices(connection, owners) if device.application in {None, application}
    ]
    waiting = {device.token_hash: device for device in found}
    return [device for token_hash, device in waiting.items() if token_hash not in served]


def note_served(connection: Connection, event_id: str, device: Device) -> None:
    """Store that ``device`` was notified of the event. Idempotent."""
    row = {"event_id": event_id, "token_hash": device.token_hash, "pushed_at": int(time.time())}
    connection.execute(insert_into(connection.dialect, pushes).values(row).on_conflict_do_nothing())


def forget_served(connection: Connection, older_than: timedelta) -> int:
    """Delete the rows of older pushes; return how many."""
    limit = int(time.time() - older_than.total_seconds())
    return connection.execute(delete(pushes).where(pushes.c.pushed_at < limit)).rowcount


def note_refusal(connection: Connection, event_id: str, device: Device, *, removable: bool) -> bool:
    """Count a refusal of ``device``; return whether it was removed for it. A retried event counts once."""
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
    """Delete the refusals of ``device``: the provider accepted its token."""
    connection.execute(delete(doubts).where(doubts.c.token_hash == device.token_hash))
