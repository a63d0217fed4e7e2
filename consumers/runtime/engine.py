"""How the database of a consumer is opened: SQLite or PostgreSQL, with texts that both can store.

SQLite uses a rollback journal: the write-ahead log of SQLite before 3.51.3 can corrupt a file that two connections use,
and ``consumers devices`` opens a second one beside a running consumer. Sharing commits makes up for its slowness.
PostgreSQL may stand behind a pooler: no setting outlasts a transaction, and every wait is bounded.

Source: https://sqlite.org/wal.html#walresetbug
"""

import json
import re
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, ExceptionContext
from sqlalchemy.pool import StaticPool

from processor.database import Interrupter, postgresql_engine

BUSY_SECONDS: Final = 10
REPLACEMENT: Final = "\ufffd"
"""Replaces characters that cannot be stored: PostgreSQL refuses NUL, and every driver half a surrogate pair."""

_unstorable: Final = re.compile("[\x00\ud800-\udfff]")
_BEGIN: Final = (
    "BEGIN; SET LOCAL statement_timeout = '30s'; SET LOCAL lock_timeout = '10s';"
    "SET LOCAL idle_in_transaction_session_timeout = '60s'; SET LOCAL timezone = 'UTC'"
)
"""One round trip. Settings of a transaction end with it, so a pooler can pass the session on."""
_READ_ONLY: Final = "25006"
"""SQLSTATE of a write on a server that takes none."""


def open_engine(url: URL, interrupter: Interrupter) -> Engine:
    """An engine of one connection. Calls that wait for PostgreSQL are cut off by ``interrupter``."""
    engine = _sqlite_engine(url) if url.get_backend_name() == "sqlite" else _postgresql_engine(url, interrupter)
    event.listen(engine, "before_cursor_execute", _replace_unstorable, retval=True)
    return engine


def _sqlite_engine(url: URL) -> Engine:
    if url.database and url.database != ":memory:":
        _make_private(Path(url.database))
    engine = create_engine(
        url,
        poolclass=StaticPool,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "timeout": BUSY_SECONDS},
        json_serializer=_storable_json,
    )
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


def _make_private(path: Path) -> None:
    """Let only the own user read the file, which may hold device tokens."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.touch(mode=0o600, exist_ok=True)


def _configure_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # the engine begins transactions, not the driver
    for pragma in ("journal_mode=TRUNCATE", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def _postgresql_engine(url: URL, interrupter: Interrupter) -> Engine:
    name = "xumm-webhook-consumer"
    engine = postgresql_engine(url, interrupter, name=name, pool_pre_ping=True, json_serializer=_storable_json)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(_BEGIN))
    event.listen(engine, "handle_error", _leave_read_only)
    return engine


def _leave_read_only(context: ExceptionContext) -> None:
    """Connect again after a refused write: another server may be the one to write to by now."""
    if getattr(context.original_exception, "sqlstate", None) == _READ_ONLY:
        context.is_disconnect = True


def _replace_unstorable(
    _connection: Connection, _cursor: Any, statement: str, parameters: Any, *_rest: Any
) -> tuple[str, Any]:
    """SQLAlchemy's ``before_cursor_execute``: the statement, with parameters that can be stored."""
    return statement, _storable(parameters)


def _storable_json(value: Any) -> str:
    """``value`` as JSON that can be stored."""
    return json.dumps(_storable(value))


def _storable(value: Any) -> Any:
    match value:
        case str():
            return _unstorable.sub(REPLACEMENT, value)
        case dict():
            return {_storable(name): _storable(part) for name, part in value.items()}
        case list():
            return [_storable(part) for part in value]
        case tuple():
            return tuple([_storable(part) for part in value])
        case _:
            return value
