"""The first tables."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create them all."""
    _payloads()
    _outbox()
    _tasks()
    _deliveries()
    _quarantine()
    op.create_table(
        "leases",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
    )


def downgrade() -> None:
    """Drop them all."""
    for table in ("leases", "quarantine", "deliveries", "tasks", "outbox", "payloads"):
        op.drop_table(table)


def _payloads() -> None:
    op.create_table(
        "payloads",
        sa.Column("payload", sa.Text, primary_key=True),
        sa.Column("app", sa.Text, primary_key=True),
        sa.Column("application", sa.Text, nullable=False),
        sa.Column("facts", sa.Integer, nullable=False),
        sa.Column("flags", sa.Integer, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("resolved", sa.Text),
        sa.Column("expires_at", sa.BigInteger),
        sa.Column("knowledge", sa.LargeBinary, nullable=False),
        sa.Column("custom_meta", sa.LargeBinary),
        sa.Column("first_seen_at", sa.BigInteger, nullable=False),
        sa.Column("updated_at", sa.BigInteger, nullable=False),
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("position", _Serial, primary_key=True, autoincrement=True),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("sequence", sa.Integer, nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("routing_key", sa.Text, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("traceparent", sa.Text),
        sa.Column("published_at", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    _partial_index("outbox_unpublished", "outbox", "position", "published_at IS NULL")


def _tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("id", _Serial, primary_key=True, autoincrement=True),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("leased_until", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("tasks_due", "tasks", ["due_at"])
    _partial_index("tasks_leased", "tasks", "leased_until", "leased_until IS NOT NULL")


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", _Serial, primary_key=True, autoincrement=True),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("payload", sa.Text),
        sa.Column("attempt", sa.Integer),
        sa.Column("verdict", sa.Text, nullable=False),
        sa.Column("latency_us", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )


def _quarantine() -> None:
    op.create_table(
        "quarantine",
        sa.Column("id", _Serial, primary_key=True, autoincrement=True),
        sa.Column("received_at", sa.BigInteger, nullable=False),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("payload", sa.Text),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("released_at", sa.BigInteger),
        sqlite_autoincrement=True,
    )


def _partial_index(name: str, table: str, column: str, condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, [column], sqlite_where=where, postgresql_where=where)
