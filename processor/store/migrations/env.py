"""Alembic's entry point: `upgrade` always passes a connection that is in a transaction."""

from alembic import context

from processor.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
