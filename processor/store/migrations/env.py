"""Alembic's entry: it is always handed a connection that is in a transaction."""

from alembic import context

from processor.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
