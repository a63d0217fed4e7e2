"""The registry's tables. Version 2 brought ``routes``, version 3 ``claims``, ``users`` and ``doubts``.

Tables only ever join, so that bringing a registry up to date is creating what it lacks.
"""

from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text

METADATA: Final = MetaData()

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

routes: Final = Table(
    "routes",
    METADATA,
    Column("token_hash", String(64), primary_key=True),
    Column("channel", String(16), nullable=False),
    Column("p256dh", String(88)),
    Column("auth", String(24)),
)
"""The way to each token. One without a row was registered before there were channels, with FCM."""

pushes: Final = Table(
    "pushes",
    METADATA,
    Column("event_id", String(36), primary_key=True),
    Column("token_hash", String(64), primary_key=True),
    Column("pushed_at", BigInteger, nullable=False),
    Index("pushes_by_age", "pushed_at"),
)
"""Who was served already, so that a retry after a partial failure serves only the others."""

claims: Final = Table(
    "claims",
    METADATA,
    Column("owner", String(36), primary_key=True),
    Column("token_hash", String(64), primary_key=True),
    Column("application", String(36), nullable=False),
    Column("registered_at", BigInteger, nullable=False),
    Column("removed_at", BigInteger, nullable=False),
    Index("claims_by_token", "token_hash"),
)
"""When an account last registered a device by command, for which application, and when it last removed it; in
microseconds, 0 for never. Kept for a time after the device went, so that an older command changes nothing.
A device without a claim was registered by hand, and hears of every application."""

users: Final = Table(
    "device_users",
    METADATA,
    Column("owner", String(36), primary_key=True),
    Column("token_hash", String(64), primary_key=True),
    Column("user", String(36), nullable=False),
    Index("device_users_by_user", "user"),
)
"""The user reference that came with the last registration of a device under an account. It goes with that."""

doubts: Final = Table(
    "doubts",
    METADATA,
    Column("token_hash", String(64), primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("events", Integer, nullable=False),
)
"""Tokens that their provider did not take, since when, and for how many events in a row."""
