"""Events apart from what waits for the broker: marking one as published rewrites its body no more."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Let ``outbox`` hold the positions of what is not published."""
    op.drop_index("outbox_unpublished", "outbox")
    op.rename_table("outbox", "events")
    op.create_table("outbox", sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False))
    op.execute("INSERT INTO outbox (position) SELECT position FROM events WHERE published_at IS NULL")
    op.drop_column("events", "published_at")


def downgrade() -> None:
    """Mark in place again what is published."""
    op.add_column("events", sa.Column("published_at", sa.BigInteger))
    op.execute(
        "UPDATE events SET published_at = at * 1000000"
        " WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.position = events.position)"
    )
    op.drop_table("outbox")
    op.rename_table("events", "outbox")
    where = sa.text("published_at IS NULL")
    op.create_index("outbox_unpublished", "outbox", ["position"], sqlite_where=where, postgresql_where=where)
