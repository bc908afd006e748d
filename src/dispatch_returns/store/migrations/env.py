"""Alembic's entry: runs the migrations on the connection it is given, in its transaction."""

from __future__ import annotations

from alembic import context

from dispatch_returns.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
context.run_migrations()
