"""Sign requests, the events about them, sessions, and user tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_Serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    _create_sign_requests()
    _create_request_events()
    _create_sessions()
    _create_user_tokens()


def downgrade() -> None:
    """Drop them."""
    for table in ("user_tokens", "sessions", "request_events", "sign_requests"):
        op.drop_table(table)


def _create_sign_requests() -> None:
    op.create_table(
        "sign_requests",
        sa.Column("id", _Serial, primary_key=True, autoincrement=True),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("identifier", sa.Text, nullable=False),
        sa.Column("key_digest", sa.LargeBinary),
        sa.Column("request_digest", sa.LargeBinary, nullable=False),
        sa.Column("reserved_at", sa.BigInteger, nullable=False),
        sa.Column("held_until", sa.BigInteger, nullable=False),
        sa.Column("account", sa.Text),
        sa.Column("tx_type", sa.Text, nullable=False),
        sa.Column("submit", sa.Integer, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("payload", sa.Text),
        sa.Column("answer", sa.LargeBinary),
        sa.Column("state_digest", sa.LargeBinary),
        sa.Column("returned_at", sa.BigInteger),
        sa.Column("exchange_digest", sa.LargeBinary),
        sa.Column("exchanged_at", sa.BigInteger),
        sqlite_autoincrement=True,
    )
    op.create_index("sign_requests_key", "sign_requests", ["app", "owner", "key_digest"], unique=True)
    op.create_index("sign_requests_identifier", "sign_requests", ["app", "identifier"], unique=True)
    op.create_index("sign_requests_payload", "sign_requests", ["payload"], unique=True)
    op.create_index("sign_requests_owner", "sign_requests", ["app", "owner", "id"])
    op.create_index("sign_requests_state", "sign_requests", ["state_digest"], unique=True)


def _create_request_events() -> None:
    op.create_table(
        "request_events",
        sa.Column("payload", sa.Text, primary_key=True),
        sa.Column("app", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, primary_key=True, autoincrement=False),
    )


def _create_sessions() -> None:
    op.create_table(
        "sessions",
        sa.Column("id", _Serial, primary_key=True, autoincrement=True),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("app", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("user_reference", sa.Text),
        sa.Column("created_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("sessions_digest", "sessions", ["digest"], unique=True)


def _create_user_tokens() -> None:
    op.create_table(
        "user_tokens",
        sa.Column("app", sa.Text, primary_key=True),
        sa.Column("user_reference", sa.Text, primary_key=True),
        sa.Column("application", sa.Text, nullable=False),
        sa.Column("account", sa.Text),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("signed_at", sa.BigInteger, nullable=False),
        sa.Column("expires_at", sa.BigInteger, nullable=False),
        sa.Column("checked_at", sa.BigInteger),
        sa.Column("suspect", sa.Integer, nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
    )
    op.create_index("user_tokens_account", "user_tokens", ["app", "account"])
