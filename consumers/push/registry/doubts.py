"""Tokens that a provider does not take, though it does not say that they are dead.

A wrong topic, address or key makes a provider refuse every token there is. So such an answer removes a device only if
it is given to several events over a day, and only while the provider takes the tokens of others.
"""

import time
from datetime import timedelta
from typing import Final

from sqlalchemy import Connection, delete, select

from consumers.push.registry import devices as registry
from consumers.push.registry.devices import Device
from consumers.push.registry.tables import doubts
from consumers.runtime.upsert import insert_into

EVENTS: Final = 3
SPAN: Final = timedelta(hours=24)


def note(connection: Connection, event_id: str, device: Device, *, removable: bool) -> bool:
    """Doubt ``device`` because of one event; whether it was removed for it. A retried event counts once."""
    registry.note_served(connection, event_id, device)
    row = {"token_hash": device.token_hash, "since": int(time.time()), "events": 1}
    more = {"events": doubts.c.events + 1}
    connection.execute(
        insert_into(connection, doubts).values(row).on_conflict_do_update(index_elements=["token_hash"], set_=more)
    )
    doubt = connection.execute(select(doubts).where(doubts.c.token_hash == device.token_hash)).one()
    lasted = time.time() - doubt.since >= SPAN.total_seconds()
    return removable and lasted and doubt.events >= EVENTS and registry.forget(connection, device.token_hash) > 0


def clear(connection: Connection, device: Device) -> None:
    """The provider took the token after all."""
    connection.execute(delete(doubts).where(doubts.c.token_hash == device.token_hash))
