"""Tasks and watches are claimed for each application by itself."""

from alembic import op

revision = "0006"
down_revision = "0005"

_INDEXES = (
    ("tasks_due", "tasks", ["app", "kind", "due_at"], ["due_at"]),
    ("watches_leased", "watches", ["app", "leased_until"], ["leased_until"]),
)


def upgrade() -> None:
    """Put the application first."""
    for name, table, columns, _ in _INDEXES:
        op.drop_index(name, table)
        op.create_index(name, table, columns)


def downgrade() -> None:
    """Leave it out again."""
    for name, table, _, columns in _INDEXES:
        op.drop_index(name, table)
        op.create_index(name, table, columns)
