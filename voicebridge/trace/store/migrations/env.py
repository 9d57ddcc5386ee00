"""Run by Alembic on the connection that `migrate.migrate` has opened, in its transaction."""

from __future__ import annotations

from alembic import context

from voicebridge.trace.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # on SQLite too: our connections begin their transactions themselves
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
