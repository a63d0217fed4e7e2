"""Which payloads are watched, and how outcomes were learned."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "watches",
        sa.Column("payload", sa.Text, primary_key=True),
        sa.Column("app", sa.Text, primary_key=True),
        sa.Column("since", sa.BigInteger, nullable=False),
        sa.Column("holder", sa.Text),
        sa.Column("leased_until", sa.BigInteger, nullable=False),
    )
    op.create_index("watches_leased", "watches", ["leased_until"])
    op.create_table(
        "outcomes",
        sa.Column("id", _Serial, primary_key=True, autoincrement=True),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.Text, nullable=False),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("source", sa.Text, nullable=False),
        sa.Column("learned_at", sa.BigInteger, nullable=False),
        sa.Column("resolved_at", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("outcomes_at", "outcomes", ["at"])


def downgrade() -> None:
    """Drop them."""
    for table in ("outcomes", "watches"):
        op.drop_table(table)
