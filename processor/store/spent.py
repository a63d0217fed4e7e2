"""What has been used up: each thing once, whichever instance is asked."""

from datetime import datetime

from sqlalchemy import Connection, Dialect, delete, select

from processor.core.access.digest import digest_of
from processor.database import insert_into
from processor.store.tables import spent, stored


def first(connection: Connection, dialect: Dialect, used: str, until: datetime) -> bool:
    """Whether nobody used this before. Of several at the same time, one is the first."""
    row = {"digest": digest_of(used), "until": stored(until)}
    insert = insert_into(dialect, spent).values(row).on_conflict_do_nothing()
    return connection.execute(insert.returning(spent.c.until)).scalar() is not None


def forget(connection: Connection, now: datetime, limit: int) -> int:
    """Forget what nobody can use any more anyway; how much that was."""
    over = select(spent.c.digest).where(spent.c.until < stored(now)).limit(limit).scalar_subquery()
    return connection.execute(delete(spent).where(spent.c.digest.in_(over))).rowcount
