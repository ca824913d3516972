"""Alembic's entry: it migrates over the connection that it is given, in the transaction that is open there."""

from alembic import context

from orchestrator.runtime.journal.stores.postgresql.migrating import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE)
context.run_migrations()
