"""Leases: what only one instance may do at a time. Rehearsed writes, too, have their row here."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, or_, select

from processor.database import insert_into
from processor.store import tasks, watches
from processor.store.tables import leases, to_micros

_REHEARSAL: Final = "rehearsal "
_REHEARSAL_BYTES: Final = 64 * 1024
"""More than a webhook of the usual size takes on the disk."""
_REHEARSAL_KEPT: Final = timedelta(hours=1)


def acquire(connection: Connection, name: str, holder: str, ttl: timedelta, now: datetime) -> bool:
    """Take or extend a lease, unless another holds it. Instances' clocks must agree to much less than ``ttl``."""
    insert = insert_into(connection.dialect, leases).values(name=name, holder=holder, until=to_micros(now + ttl))
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=[leases.c.name],
            set_={"holder": insert.excluded.holder, "until": insert.excluded.until},
            where=or_(leases.c.holder == holder, leases.c.until <= to_micros(now)),
        )
    )
    holding: str = connection.execute(select(leases.c.holder).where(leases.c.name == name)).scalar_one()
    return holding == holder


def release(connection: Connection, name: str, holder: str) -> None:
    """Give a lease back, if ``holder`` has it."""
    connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))


def rehearse(connection: Connection, holder: str, now: datetime) -> None:
    """Write as much as a webhook would, to a row of ``holder``'s own: raises if a webhook could not be stored."""
    stamp = f"{to_micros(now):016x}"
    row = {"holder": stamp * (_REHEARSAL_BYTES // len(stamp)), "until": to_micros(now)}
    insert = insert_into(connection.dialect, leases).values(name=_REHEARSAL + holder, **row)
    connection.execute(insert.on_conflict_do_update(index_elements=[leases.c.name], set_=row))
    past = leases.c.name.startswith(_REHEARSAL) & (leases.c.until < to_micros(now - _REHEARSAL_KEPT))
    connection.execute(delete(leases).where(past))


def end_all(connection: Connection) -> None:
    """End every lease, on tasks and watches too. For the only process: any other that held one is dead."""
    connection.execute(delete(leases))
    tasks.release_all(connection)
    watches.release_all(connection)
