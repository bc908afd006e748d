"""Alembic's entry: runs the migrations on the connection it is given, in its transaction."""

from __future__ import annotations

from typing import Any, cast

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script

from dispatch_returns.store.dialect import backend
from dispatch_returns.store.schema import metadata, schema_revisions

_connection = context.config.attributes["connection"]


def _note_what_works_with_it(*, ctx: MigrationContext, step: MigrationInfo, **_: Any) -> None:
    """Write into the database which older code goes on working: that code cannot know it."""
    script = cast("Script", step.up_revision)
    assert ctx.connection is not None
    row = {"revision": script.revision, "works_with": script.module.works_with}
    ctx.connection.execute(schema_revisions.insert(), row)


context.configure(
    connection=_connection,
    target_metadata=metadata,
    render_as_batch=True,
    # Alembic calls it by keywords, and its types forget that.
    on_version_apply=cast("Any", _note_what_works_with_it),
    # A shop may have an `alembic_version` of its own further down the search path.
    version_table_schema=backend(_connection).own_schema(_connection),
)
context.run_migrations()
