"""What only one instance may do at a time."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, delete, or_, select

from processor.database import insert_into
from processor.store import tasks, watches
from processor.store.tables import leases, stored

_REHEARSAL: Final = "rehearsal "
_REHEARSAL_BYTES: Final = 64 * 1024
"""More than a webhook of the usual size takes on the disk."""
_REHEARSAL_KEPT: Final = timedelta(hours=1)


def acquire(connection: Connection, name: str, holder: str, ttl: timedelta, now: datetime) -> bool:
    """Take or extend the lease, unless another holds it. Instances' clocks must agree to much less than ``ttl``."""
    insert = insert_into(connection.dialect, leases).values(name=name, holder=holder, until=stored(now + ttl))
    connection.execute(
        insert.on_conflict_do_update(
            index_elements=[leases.c.name],
            set_={"holder": insert.excluded.holder, "until": insert.excluded.until},
            where=or_(leases.c.holder == holder, leases.c.until <= stored(now)),
        )
    )
    holding: str = connection.execute(select(leases.c.holder).where(leases.c.name == name)).scalar_one()
    return holding == holder


def release(connection: Connection, name: str, holder: str) -> None:
    """Give it back, if it is ``holder``'s."""
    connection.execute(delete(leases).where(leases.c.name == name, leases.c.holder == holder))


def rehearse(connection: Connection, holder: str, now: datetime) -> None:
    """Write as much as a webhook would, in a row of ``holder``'s own, to see whether that can be stored."""
    stamp = f"{stored(now):016x}"
    row = {"holder": stamp * (_REHEARSAL_BYTES // len(stamp)), "until": stored(now)}
    insert = insert_into(connection.dialect, leases).values(name=_REHEARSAL + holder, **row)
    connection.execute(insert.on_conflict_do_update(index_elements=[leases.c.name], set_=row))
    past = leases.c.name.startswith(_REHEARSAL) & (leases.c.until < stored(now - _REHEARSAL_KEPT))
    connection.execute(delete(leases).where(past))


def take_back(connection: Connection) -> None:
    """End every lease there is. For a process that is alone: whoever held one is dead."""
    connection.execute(delete(leases))
    tasks.free(connection)
    watches.free(connection)
