"""What counts once: states and codes of OAuth2 sign-ins."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "spent",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("until", sa.BigInteger, nullable=False),
    )
    op.create_index("spent_until", "spent", ["until"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("spent")
