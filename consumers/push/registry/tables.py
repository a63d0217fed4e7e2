"""The tables of the registry. Version 2 added ``routes``, version 3 ``claims``, ``users`` and ``doubts``.

Tables are only added, so a registry is upgraded by creating the missing ones.
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
"""``owner`` is an account or an opaque user reference. One device may have several owners."""

routes: Final = Table(
    "routes",
    METADATA,
    Column("token_hash", String(64), primary_key=True),
    Column("channel", String(16), nullable=False),
    Column("p256dh", String(88)),
    Column("auth", String(24)),
)
"""The channel of each token. A token without a row was registered with FCM, before version 2."""

pushes: Final = Table(
    "pushes",
    METADATA,
    Column("event_id", String(36), primary_key=True),
    Column("token_hash", String(64), primary_key=True),
    Column("pushed_at", BigInteger, nullable=False),
    Index("pushes_by_age", "pushed_at"),
)
"""The devices that were notified of an event, so that a retry serves only the others."""

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
microseconds, 0 for never. Kept for a time after the removal, so that an older command changes nothing.
A device without a claim was registered by hand, for the events of every application."""

users: Final = Table(
    "device_users",
    METADATA,
    Column("owner", String(36), primary_key=True),
    Column("token_hash", String(64), primary_key=True),
    Column("user", String(36), nullable=False),
    Index("device_users_by_user", "user"),
)
"""The user reference in the last registration of a device under an account. It is removed with the registration."""

doubts: Final = Table(
    "doubts",
    METADATA,
    Column("token_hash", String(64), primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("events", Integer, nullable=False),
)
"""Tokens that their provider refused, since when, and for how many events in a row."""
