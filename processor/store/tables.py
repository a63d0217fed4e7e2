"""The tables, the same on SQLite and PostgreSQL: text, bytes and integers only.

An instant is stored as microseconds since 1970 UTC. JSON from outside is stored as bytes: it may hold NUL characters,
which PostgreSQL's text rejects, and integers too big for SQLite.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, MetaData, Table, Text, text

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_Serial: Final = BigInteger().with_variant(Integer(), "sqlite")

metadata: Final = MetaData()

payloads: Final = Table(
    "payloads",
    metadata,
    Column("payload", Text, primary_key=True),
    Column("app", Text, primary_key=True),
    Column("application", Text, nullable=False),
    Column("facts", Integer, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("resolved", Text),
    Column("expires_at", BigInteger),
    Column("knowledge", LargeBinary, nullable=False),
    Column("custom_meta", LargeBinary),
    Column("first_seen_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
"""The state of each payload; ``knowledge`` is the part that no query searches by, as JSON."""

events: Final = Table(
    "events",
    metadata,
    Column("position", _Serial, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False),
    Column("app", Text, nullable=False),
    Column("payload", Text, nullable=False),
    Column("sequence", Integer, nullable=False),
    Column("type", Text, nullable=False),
    Column("routing_key", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("traceparent", Text),
    sqlite_autoincrement=True,
)
"""Every event, from the transaction that caused it until its retention ends. Never changed. ``at``: Unix seconds."""

outbox: Final = Table("outbox", metadata, Column("position", BigInteger, primary_key=True, autoincrement=False))
"""The events that wait for the broker. Rows are narrow: removing one touches no page that holds a body."""

tasks: Final = Table(
    "tasks",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("payload", Text, nullable=False),
    Column("app", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("due_at", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("holder", Text),
    Column("leased_until", BigInteger),
    Index("tasks_due", "app", "kind", "due_at"),
    Index(
        "tasks_leased",
        "leased_until",
        sqlite_where=text("leased_until IS NOT NULL"),
        postgresql_where=text("leased_until IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)
"""Due work and its leases. Rows are appended and never searched by payload: that costs no page but the last."""

deliveries: Final = Table(
    "deliveries",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("received_at", BigInteger, nullable=False),
    Column("app", Text, nullable=False),
    Column("payload", Text),
    Column("attempt", Integer),
    Column("verdict", Text, nullable=False),
    Column("latency_us", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
"""The delivery log. No index: it is written for every webhook, rarely searched, and bounded."""

quarantine: Final = Table(
    "quarantine",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("received_at", BigInteger, nullable=False),
    Column("app", Text, nullable=False),
    Column("payload", Text),
    Column("body", LargeBinary, nullable=False),
    Column("reason", Text, nullable=False),
    Column("released_at", BigInteger),
    sqlite_autoincrement=True,
)
"""Authentic bodies that cannot be parsed."""

watches: Final = Table(
    "watches",
    metadata,
    Column("payload", Text, primary_key=True),
    Column("app", Text, primary_key=True),
    Column("since", BigInteger, nullable=False),
    Column("holder", Text),
    Column("leased_until", BigInteger, nullable=False),
    Index("watches_leased", "app", "leased_until"),
)
"""The payloads whose sockets are watched; their states tell until when. ``leased_until`` is 0 for a payload that was
never watched; after any other value, a message may have come while no process listened."""

outcomes: Final = Table(
    "outcomes",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("at", BigInteger, nullable=False),
    Column("payload", Text, nullable=False),
    Column("app", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("learned_at", BigInteger, nullable=False),
    Column("resolved_at", BigInteger),
    Index("outcomes_at", "at"),
    sqlite_autoincrement=True,
)
"""The outcome of each resolved payload, and how it was first learned. Written by lookups alone."""

sign_requests: Final = Table(
    "sign_requests",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("app", Text, nullable=False),
    Column("owner", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("identifier", Text, nullable=False),
    Column("key_digest", LargeBinary),
    Column("request_digest", LargeBinary, nullable=False),
    Column("reserved_at", BigInteger, nullable=False),
    Column("held_until", BigInteger, nullable=False),
    Column("account", Text),
    Column("tx_type", Text, nullable=False),
    Column("submit", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("payload", Text),
    Column("answer", LargeBinary),
    Column("state_digest", LargeBinary),
    Column("returned_at", BigInteger),
    Column("exchange_digest", LargeBinary),
    Column("exchanged_at", BigInteger),
    Index("sign_requests_key", "app", "owner", "key_digest", unique=True),
    Index("sign_requests_identifier", "app", "identifier", unique=True),
    Index("sign_requests_payload", "payload", unique=True),
    Index("sign_requests_owner", "app", "owner", "id"),
    Index("sign_requests_state", "state_digest", unique=True),
    sqlite_autoincrement=True,
)
"""Sign requests made through this service. A row is written before Xumm is asked, its ``payload`` after."""

request_events: Final = Table(
    "request_events",
    metadata,
    Column("payload", Text, primary_key=True),
    Column("app", Text, primary_key=True),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
)
"""The positions of the events of payloads that were created here. Other payloads have no rows here."""

sessions: Final = Table(
    "sessions",
    metadata,
    Column("id", _Serial, primary_key=True, autoincrement=True),
    Column("digest", LargeBinary, nullable=False),
    Column("app", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("user_reference", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Index("sessions_digest", "digest", unique=True),
    sqlite_autoincrement=True,
)
"""Sessions. Of a token only the SHA-256 is kept."""

user_tokens: Final = Table(
    "user_tokens",
    metadata,
    Column("app", Text, primary_key=True),
    Column("user_reference", Text, primary_key=True),
    Column("application", Text, nullable=False),
    Column("account", Text),
    Column("key_id", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("signed_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("checked_at", BigInteger),
    Column("suspect", Integer, nullable=False),
    Column("revoked_at", BigInteger),
    Index("user_tokens_account", "app", "account"),
)
"""Xumm's user tokens, sealed. ``account`` is null until a proven signature shows whose the token is."""

spent: Final = Table(
    "spent",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    Column("until", BigInteger, nullable=False),
    Index("spent_until", "until"),
)
"""Values that count once, by their SHA-256, until they expire anyway."""

leases: Final = Table(
    "leases",
    metadata,
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("until", BigInteger, nullable=False),
)
"""Which instance does what only one may do."""


@lru_cache(maxsize=64)
def to_micros(instant: datetime) -> int:
    """Encode an instant. Webhooks that arrive together share one, hence the cache."""
    since = instant - _EPOCH  # a division by a timedelta would take three times as long
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def from_micros(micros: int) -> datetime:
    """Decode an instant, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)
