"""Carries out the commands by which apps register and remove devices.

The latest command wins, in whatever order commands arrive. A token belongs to the account that registered it last: a
phone that was handed on notifies its new owner alone. A command of another account changes only the claim of that
account: the times at which it last registered and last removed the device.
"""

from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Connection, case, delete, exists, func, select, text

from consumers.push.registry import devices as registry
from consumers.push.registry.devices import Device
from consumers.push.registry.tables import claims, devices
from processor.database import insert_into

MAX_DEVICES: Final = 20
"""Of one account and application. Beyond, the device that registered longest ago is removed."""
MAX_CLAIMS: Final = 200
"""Claims of one account that are kept beside those of its devices, so that nobody can fill the table."""
LOCK_KEY: Final = 0x64657663  # "devc": instances take turns
_MICROSECONDS: Final = 1_000_000


def register(connection: Connection, device: Device, *, at: datetime) -> int | None:
    """Register ``device``, for its owner alone; return how many devices it evicted, or None if ``at`` is outdated.

    Raises `ValueError` if ``device`` cannot be pushed to.
    """
    _take_turns(connection)
    token_hash, stamp = device.token_hash, _stamp(at)
    of_token = claims.c.token_hash == token_hash
    newest = connection.scalar(select(func.max(claims.c.registered_at)).where(of_token)) or 0
    _claim(connection, device.owner, token_hash, application=device.application or "", registered_at=stamp)
    removed_at = connection.scalar(select(claims.c.removed_at).where(of_token, claims.c.owner == device.owner)) or 0
    _bound(connection, device.owner)
    if stamp < newest:
        return None
    held = select(devices.c.owner).where(devices.c.owner == device.owner, devices.c.token_hash == token_hash)
    if connection.scalar(held) is None:
        registry.forget(connection, token_hash)  # even if this account has removed it since: it is no longer another's
    if stamp <= removed_at:
        return None
    registry.add(connection, device, at=at)
    return _evict(connection, device)


def remove(connection: Connection, owner: str, token_hash: str, *, application: str, at: datetime) -> bool:
    """Remove a device from ``owner``; return whether there was one, not registered again since ``at``."""
    _take_turns(connection)
    stamp = _stamp(at)
    _claim(connection, owner, token_hash, application=application, removed_at=stamp)
    own = (claims.c.owner == owner, claims.c.token_hash == token_hash)
    registered_at = connection.scalar(select(claims.c.registered_at).where(*own)) or 0
    removed = registry.forget(connection, token_hash, owner=owner) if registered_at <= stamp else 0
    _bound(connection, owner)
    return removed > 0


def forget_claims(connection: Connection, before: datetime) -> int:
    """Delete claims on removed devices that are older than ``before``; return how many."""
    return connection.execute(delete(claims).where(_latest() < _stamp(before), ~_is_held())).rowcount


def _claim(
    connection: Connection,
    owner: str,
    token_hash: str,
    *,
    application: str,
    registered_at: int = 0,
    removed_at: int = 0,
) -> None:
    """Store the later of the stored and the given times."""
    row = {
        "owner": owner,
        "token_hash": token_hash,
        "application": application,
        "registered_at": registered_at,
        "removed_at": removed_at,
    }
    insert = insert_into(connection.dialect, claims).values(row)
    later = {name: insert.excluded[name] > claims.c[name] for name in ("registered_at", "removed_at")}
    new = {name: case((wins, insert.excluded[name]), else_=claims.c[name]) for name, wins in later.items()}
    new["application"] = case((later["registered_at"], insert.excluded.application), else_=claims.c.application)
    connection.execute(insert.on_conflict_do_update(index_elements=["owner", "token_hash"], set_=new))


def _evict(connection: Connection, newcomer: Device) -> int:
    found = registry.list_devices(connection, [newcomer.owner])
    rivals = [device for device in found if device.application == newcomer.application]
    for device in rivals[: max(0, len(rivals) - MAX_DEVICES)]:
        registry.forget(connection, device.token_hash, owner=device.owner)
    return max(0, len(rivals) - MAX_DEVICES)


def _bound(connection: Connection, owner: str) -> None:
    """Delete the oldest claims of ``owner`` beyond `MAX_CLAIMS`."""
    own = select(claims.c.token_hash).where(claims.c.owner == owner)
    old = own.order_by(_latest().desc(), claims.c.token_hash).offset(MAX_CLAIMS)
    forgotten = list(connection.scalars(old))
    if forgotten:
        wanted = (claims.c.owner == owner, claims.c.token_hash.in_(forgotten), ~_is_held())
        connection.execute(delete(claims).where(*wanted))


def _latest() -> ColumnElement[int]:
    return case((claims.c.registered_at > claims.c.removed_at, claims.c.registered_at), else_=claims.c.removed_at)


def _is_held() -> ColumnElement[bool]:
    return exists().where(devices.c.owner == claims.c.owner, devices.c.token_hash == claims.c.token_hash)


def _take_turns(connection: Connection) -> None:
    """Wait for other instances on PostgreSQL. SQLite has one writer anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK_KEY})


def _stamp(at: datetime) -> int:
    return (int(at.timestamp()) * _MICROSECONDS) + at.microsecond
