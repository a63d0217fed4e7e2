"""Creates the tables of a consumer. Their version keeps an older program from writing into a newer database."""

import time
from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    select,
    text,
    update,
)

from consumers.runtime.errors import SchemaTooNew
from processor.database import insert_into

METADATA: Final = MetaData()
LOCK_KEY: Final = 0x78756D6D  # "xumm": two instances that start together create one schema

versions: Final = Table(
    "consumer_schema",
    METADATA,
    Column("name", String(63), primary_key=True),
    Column("version", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)


def ensure(engine: Engine, tables: MetaData, *, name: str, version: int) -> None:
    """Create missing ``tables`` and store ``version`` for ``name``. Raises `SchemaTooNew`. Idempotent."""
    with engine.begin() as transaction:
        if transaction.dialect.name == "postgresql":
            transaction.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})
        METADATA.create_all(transaction)
        found = transaction.scalar(select(versions.c.version).where(versions.c.name == name))
        if found is not None and found > version:
            raise SchemaTooNew(
                f"a newer version of the consumers made the database of {name}: its tables are of version {found}, and "
                f"this one knows none after version {version}. Run that version or a newer one; or, to go back, "
                "restore the backup that was made before the upgrade"
            )
        tables.create_all(transaction)
        _note(transaction, name, version, found)


def _note(transaction: Connection, name: str, version: int, found: int | None) -> None:
    if found is None:
        row = {"name": name, "version": version, "created_at": int(time.time())}
        transaction.execute(insert_into(transaction.dialect, versions).values(row))
    elif found < version:
        transaction.execute(update(versions).where(versions.c.name == name).values(version=version))
