"""What only one instance may do at a time."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, or_, select

from processor.store import tasks, watches
from processor.store.rows import insert_into
from processor.store.tables import leases, stored


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


def take_back(connection: Connection) -> None:
    """End every lease there is. For a process that is alone: whoever held one is dead."""
    connection.execute(delete(leases))
    tasks.free(connection)
    watches.free(connection)
