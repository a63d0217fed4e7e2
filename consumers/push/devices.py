"""The device registry: which devices hear of which user or account, and which heard of which event."""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, Literal

from sqlalchemy import BigInteger, Column, Connection, Index, MetaData, String, Table, Text, delete, select

from consumers.runtime.upsert import insert_into

Platform = Literal["android", "ios", "web"]

METADATA: Final = MetaData()
MAX_TOKEN: Final = 4096
VISIBLE: Final = 6
"""Characters of a token that may be shown, at its end."""

devices: Final = Table(
    "devices",
    METADATA,
    Column("owner", String(36), primary_key=True),
    Column("token_hash", String(64), primary_key=True),
    Column("token", Text, nullable=False),
    Column("platform", String(16), nullable=False),
    Column("locale", String(35)),
    Column("added_at", BigInteger, nullable=False),
    Index("devices_by_token", "token_hash"),
)
"""``owner`` is an account or an opaque user reference; one device may hear of several."""

pushes: Final = Table(
    "pushes",
    METADATA,
    Column("event_id", String(36), primary_key=True),
    Column("token_hash", String(64), primary_key=True),
    Column("pushed_at", BigInteger, nullable=False),
    Index("pushes_by_age", "pushed_at"),
)
"""Who was served already, so that a retry after a partial failure serves only the others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """One installation of an app, or one browser."""

    owner: str
    """Account, or the user reference that events carry in ``data.user``."""
    token: str
    """The provider's registration token: whoever has it can be impersonated towards nobody, but be pushed to."""
    platform: Platform
    locale: str | None = None
    """BCP 47, such as ``de-CH``."""

    def __repr__(self) -> str:
        return f"Device(owner={self.owner!r}, token={masked(self.token)!r}, platform={self.platform!r})"

    @property
    def token_hash(self) -> str:
        """Names the token in keys and notes."""
        return hashlib.sha256(self.token.encode()).hexdigest()


def masked(token: str) -> str:
    """``token`` fit for showing: its end, enough to tell two apart."""
    return f"…{token[-VISIBLE:]}" if len(token) > 2 * VISIBLE else "…"


def add(connection: Connection, device: Device) -> None:
    """Register ``device``, or renew its platform and locale. Raises `ValueError` on a token that is none."""
    if not device.token or len(device.token) > MAX_TOKEN or not device.token.isprintable() or " " in device.token:
        raise ValueError(f"a device token is 1 to {MAX_TOKEN} printable characters without spaces")
    insert = insert_into(connection, devices).values(
        owner=device.owner,
        token_hash=device.token_hash,
        token=device.token,
        platform=device.platform,
        locale=device.locale,
        added_at=int(time.time()),
    )
    renewed = {name: insert.excluded[name] for name in ("platform", "locale", "added_at")}
    connection.execute(
        insert.on_conflict_do_update(index_elements=[devices.c.owner, devices.c.token_hash], set_=renewed)
    )


def list_of(connection: Connection, owners: Iterable[str] | None = None) -> list[Device]:
    """Devices of ``owners``, or all; oldest first."""
    rows = select(devices).order_by(devices.c.added_at, devices.c.token_hash)
    if owners is not None:
        rows = rows.where(devices.c.owner.in_(tuple(owners)))
    return [
        Device(owner=row.owner, token=row.token, platform=row.platform, locale=row.locale)
        for row in connection.execute(rows)
    ]


def remove(connection: Connection, token: str, *, owner: str | None = None) -> int:
    """Forget a device, of one owner or of all; how many registrations went."""
    wanted = devices.c.token_hash == hashlib.sha256(token.encode()).hexdigest()
    if owner is not None:
        wanted &= devices.c.owner == owner
    return connection.execute(delete(devices).where(wanted)).rowcount


def unserved(connection: Connection, event_id: str, owners: Iterable[str]) -> list[Device]:
    """Devices of ``owners``, each once, that did not hear of the event yet."""
    served = set(connection.scalars(select(pushes.c.token_hash).where(pushes.c.event_id == event_id)))
    waiting = {device.token_hash: device for device in list_of(connection, owners)}
    return [device for token_hash, device in waiting.items() if token_hash not in served]


def note_served(connection: Connection, event_id: str, device: Device) -> None:
    """Remember that ``device`` heard of the event. Idempotent."""
    row = {"event_id": event_id, "token_hash": device.token_hash, "pushed_at": int(time.time())}
    connection.execute(insert_into(connection, pushes).values(row).on_conflict_do_nothing())


def forget_served(connection: Connection, older_than: timedelta) -> int:
    """Drop notes of pushes longer ago; how many."""
    limit = int(time.time() - older_than.total_seconds())
    return connection.execute(delete(pushes).where(pushes.c.pushed_at < limit)).rowcount
