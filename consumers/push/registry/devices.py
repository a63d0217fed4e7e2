"""The device registry: which devices are notified of which user or account."""

import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, and_, delete, exists, or_, select, update

from consumers.push.registry.subscription import check_point, parse_endpoint
from consumers.push.registry.tables import claims, devices, doubts, pushes, routes, users
from processor.database import insert_into
from schemas.devices import Channel, Keys, Platform, digest_of_token

MAX_TOKEN: Final = 4096
VISIBLE: Final = 6
"""Characters at the end of a token that may be shown."""
MAX_LOCALE: Final = 35
TOKEN_FORMS: Final[Mapping[Channel, tuple[re.Pattern[str], str]]] = {
    "fcm": (re.compile(r"[^\s\x00-\x1f\x7f]+"), "printable characters without spaces"),
    "apns": (re.compile(r"(?:[0-9a-fA-F]{2}){16,100}"), "hexadecimal"),
    "webpush": (re.compile(r"https://[!-~]+"), "the https endpoint of a subscription"),
}
"""The form of a token of each channel, and its description."""
_SAME_REGISTRATION: Final = and_(users.c.owner == devices.c.owner, users.c.token_hash == devices.c.token_hash)


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One installation of an app, or one browser."""

    owner: str
    """Account, or the user reference that events carry in ``data.user``."""
    token: str
    """The provider's registration token. Its holder can push to the device."""
    platform: Platform
    locale: str | None = None
    """BCP 47, such as ``de-CH``."""
    channel: Channel = "fcm"
    keys: Keys | None = None
    """Of a Web Push subscription, whose endpoint is the token."""
    application: str | None = None
    """Xumm's uuid of the application whose events the device is notified of; None: all."""
    user: str | None = None
    """A second owner: the user reference, if ``owner`` is an account."""

    def __repr__(self) -> str:
        shown = f"platform={self.platform!r}, channel={self.channel!r}"
        return f"Device(owner={self.owner!r}, token={mask_token(self.token)!r}, {shown})"

    @property
    def token_hash(self) -> str:
        """Identifies the token in keys and rows."""
        return digest_of_token(self.token)


def mask_token(token: str) -> str:
    """The end of ``token``, which may be shown."""
    return f"…{token[-VISIBLE:]}" if len(token) > 2 * VISIBLE else "…"


def add(connection: Connection, device: Device, *, at: datetime | None = None) -> None:
    """Register ``device`` as of ``at``, by default now, or update its registration.

    Raises `ValueError` if ``device`` cannot be pushed to.
    """
    _check(device)
    keys = device.keys if device.channel == "webpush" else None
    registration = {
        "owner": device.owner,
        "token_hash": device.token_hash,
        "token": device.token,
        "platform": device.platform,
        "locale": device.locale,
        "added_at": int(time.time() if at is None else at.timestamp()),
    }
    route = {
        "token_hash": device.token_hash,
        "channel": device.channel,
        "p256dh": keys and keys.p256dh,
        "auth": keys and keys.auth,
    }
    _put(connection, devices, registration)
    _put(connection, routes, route)
    _put_user(connection, device)


def list_devices(connection: Connection, owners: Iterable[str] | None = None) -> list[Device]:
    """Devices of ``owners``, accounts or user references, or all; oldest first."""
    claimed = and_(
        devices.c.owner == claims.c.owner,
        devices.c.token_hash == claims.c.token_hash,
        claims.c.registered_at > claims.c.removed_at,
    )
    rows = (
        select(devices, routes.c.channel, routes.c.p256dh, routes.c.auth, claims.c.application, users.c.user)
        .join_from(devices, routes, devices.c.token_hash == routes.c.token_hash, isouter=True)
        .join(claims, claimed, isouter=True)
        .join(users, _SAME_REGISTRATION, isouter=True)
        .order_by(devices.c.added_at, devices.c.token_hash)
    )
    if owners is not None:
        wanted = tuple(owners)
        rows = rows.where(or_(devices.c.owner.in_(wanted), users.c.user.in_(wanted)))
    return [_device(row) for row in connection.execute(rows)]


def remove(connection: Connection, token: str, *, owner: str | None = None, added_by: datetime | None = None) -> int:
    """Remove a device from one owner or from all; return how many. Later registrations than ``added_by`` stay."""
    return forget(connection, digest_of_token(token), owner=owner, added_by=added_by)


def forget(
    connection: Connection, token_hash: str, *, owner: str | None = None, added_by: datetime | None = None
) -> int:
    """As `remove`, by the digest of the token."""
    wanted = devices.c.token_hash == token_hash
    if owner is not None:
        wanted &= devices.c.owner == owner
    if added_by is not None:
        wanted &= devices.c.added_at <= int(added_by.timestamp())
    removed = connection.execute(delete(devices).where(wanted)).rowcount
    unregistered = ~exists().where(_SAME_REGISTRATION)
    connection.execute(delete(users).where(users.c.token_hash == token_hash, unregistered))
    unused = ~exists().where(devices.c.token_hash == token_hash)
    for table in (routes, doubts):
        connection.execute(delete(table).where(table.c.token_hash == token_hash, unused))
    return removed


def renew_hashes(connection: Connection) -> int:
    """Move rows from another hash of a token to its digest, unless that has rows; return how many tokens changed.

    Earlier versions hashed a token of APNs in upper and lower case differently.
    """
    pairs = {(row.token_hash, digest_of_token(row.token)) for row in connection.execute(select(devices))}
    changed = [(old, new) for old, new in pairs if old != new]
    for old, new in changed:
        for table in (devices, routes, claims, users, doubts, pushes):
            _rename(connection, table, old, new)
    return len(changed)


def _rename(connection: Connection, table: Table, old: str, new: str) -> None:
    other = table.alias()
    rest = [other.c[key.name] == table.c[key.name] for key in table.primary_key if key.name != "token_hash"]
    is_there = exists().where(other.c.token_hash == new, *rest).correlate(table)
    connection.execute(delete(table).where(table.c.token_hash == old, is_there))
    connection.execute(update(table).where(table.c.token_hash == old).values(token_hash=new))


def _put_user(connection: Connection, device: Device) -> None:
    """Store the user of the last registration; if it names none, delete the one before."""
    if device.user is not None:
        _put(connection, users, {"owner": device.owner, "token_hash": device.token_hash, "user": device.user})
        return
    last = (users.c.owner == device.owner, users.c.token_hash == device.token_hash)
    connection.execute(delete(users).where(*last))


def _put(connection: Connection, table: Table, row: Mapping[str, object]) -> None:
    insert = insert_into(connection.dialect, table).values(row)
    keys = [column.name for column in table.primary_key]
    renewed = {name: insert.excluded[name] for name in row if name not in keys}
    connection.execute(insert.on_conflict_do_update(index_elements=keys, set_=renewed))


def _check(device: Device) -> None:
    """Raises `ValueError` if ``device`` cannot be pushed to."""
    form, description = TOKEN_FORMS[device.channel]
    if len(device.token) > MAX_TOKEN or not device.token.isprintable() or not form.fullmatch(device.token):
        raise ValueError(f"a device token of {device.channel} is 1 to {MAX_TOKEN} characters: {description}")
    if device.locale is not None and len(device.locale) > MAX_LOCALE:
        raise ValueError(f"a locale has {MAX_LOCALE} characters at most, such as de-CH")
    if device.channel == "webpush":
        parse_endpoint(device.token)
        if device.keys is None:
            raise ValueError("a Web Push subscription has keys")
        check_point(device.keys)


def _device(row: Row[Any]) -> Device:
    return Device(
        owner=row.owner,
        token=row.token,
        platform=row.platform,
        locale=row.locale,
        channel=row.channel or "fcm",
        keys=Keys(p256dh=row.p256dh, auth=row.auth) if row.p256dh else None,
        application=row.application,
        user=row.user,
    )
