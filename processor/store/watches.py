"""Watches: each is leased to one process, so that another takes over those of a process that died."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, delete, select, tuple_, update

from processor.core.payload.state import PayloadState
from processor.core.payload.status_socket import Watch, WatchKey
from processor.store.rows import first_of_each
from processor.store.tables import from_micros, payloads, to_micros, watches

_JOINED: Final = watches.join(payloads, and_(payloads.c.payload == watches.c.payload, payloads.c.app == watches.c.app))
_FIRST: Final = """SELECT payload, app FROM watches
    WHERE app = :app_{number} AND leased_until <= :now ORDER BY leased_until LIMIT :room_{number} {lock}"""
_LONG_AGO: Final = 1
"""For ``leased_until``: the payload was watched once, and is free."""
_STATE: Final = tuple(
    payloads.c[name] for name in ("payload", "app", "application", "facts", "flags", "resolved", "expires_at")
)
_WATCH: Final = (*_STATE, watches.c.since, watches.c.holder, watches.c.leased_until)


def claim(
    connection: Connection, now: datetime, rooms: Mapping[str, int], holder: str, lease: timedelta
) -> list[Watch]:
    """Lease free watches to ``holder``: of each application at most so many, the longest waiting first."""
    lanes = [{"app": app, "room": room} for app, room in rooms.items()]
    keys = [(payload, app) for payload, app in first_of_each(connection, _FIRST, lanes, now=to_micros(now))]
    if not keys:
        return []
    claimed = [_watch(row) for row in connection.execute(_select().where(_among(keys)))]
    taken = {"holder": holder, "leased_until": to_micros(now + lease)}
    connection.execute(update(watches).where(_among(keys)).values(taken))
    return claimed


def renew(
    connection: Connection, keys: Sequence[WatchKey], now: datetime, holder: str, lease: timedelta
) -> list[Watch]:
    """Extend ``holder``'s leases on ``keys``: those that it still holds, as they are now."""
    held = (_among(keys), watches.c.holder == holder)
    connection.execute(update(watches).where(*held).values(leased_until=to_micros(now + lease)))
    return [_watch(row) for row in connection.execute(_select().where(*held)).all()]


def end(connection: Connection, keys: Sequence[WatchKey], holder: str) -> None:
    """Remove the watches with these keys that ``holder`` holds."""
    connection.execute(delete(watches).where(_among(keys), watches.c.holder == holder))


def release(connection: Connection, now: datetime, holder: str, but: Collection[WatchKey] = ()) -> None:
    """Release ``holder``'s watches, except those with the keys ``but``."""
    mine = and_(watches.c.leased_until > to_micros(now), watches.c.holder == holder)
    free = {"holder": None, "leased_until": to_micros(now)}
    if not but:
        connection.execute(update(watches).where(mine).values(free))
        return
    held = connection.execute(select(watches.c.payload, watches.c.app).where(mine)).all()
    for key in {(payload, app) for payload, app in held}.difference(but):
        connection.execute(update(watches).where(mine, _among([key])).values(free))


def release_all(connection: Connection) -> None:
    """Release every watch, whoever holds it."""
    held = watches.c.holder.is_not(None)
    connection.execute(update(watches).where(held).values(holder=None, leased_until=_LONG_AGO))


def list_oldest(connection: Connection, limit: int = 100) -> list[Watch]:
    """The ``limit`` watches that have lasted the longest."""
    return [_watch(row) for row in connection.execute(_select().order_by(watches.c.since).limit(limit)).all()]


def _select() -> Select[Any]:
    return select(*_WATCH).select_from(_JOINED)


def _among(keys: Sequence[WatchKey]) -> Any:
    return tuple_(watches.c.payload, watches.c.app).in_(keys)


def _watch(row: Any) -> Watch:
    payload, app, application, facts, flags, resolved, expires_at, since, holder, leased_until = row
    return Watch(
        state=PayloadState(
            app=app,
            application_uuid=application,
            payload=payload,
            facts=facts,
            flags=flags,
            resolved=resolved,
            expires_at=None if expires_at is None else from_micros(expires_at),
        ),
        since=from_micros(since),
        resumed=leased_until > 0,
        holder=holder,
        leased_until=from_micros(leased_until) if leased_until else None,
    )
