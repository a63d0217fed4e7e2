"""Values that count once: each is used up by the first who brings it, whichever instance is asked."""

from datetime import datetime

from sqlalchemy import Connection, delete, select

from processor.core.access.service_key import digest_of
from processor.database import insert_into
from processor.store.tables import spent, to_micros


def use(connection: Connection, value: str, until: datetime) -> bool:
    """Use up a value, which is remembered until then. False if it was used before."""
    row = {"digest": digest_of(value), "until": to_micros(until)}
    insert = insert_into(connection.dialect, spent).values(row).on_conflict_do_nothing()
    return connection.execute(insert.returning(spent.c.until)).scalar() is not None


def forget(connection: Connection, now: datetime, limit: int) -> int:
    """Forget at most ``limit`` values whose time is over; how many those were."""
    over = select(spent.c.digest).where(spent.c.until < to_micros(now)).limit(limit).scalar_subquery()
    return connection.execute(delete(spent).where(spent.c.digest.in_(over))).rowcount
