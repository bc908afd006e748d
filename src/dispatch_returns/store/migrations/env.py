"""Alembic's entry point: runs the migrations on the given connection, in its transaction."""

from __future__ import annotations

from typing import Any, cast

from alembic import context
from alembic.runtime.migration import MigrationContext, MigrationInfo
from alembic.script import Script

from dispatch_returns.store.dialect import backend
from dispatch_returns.store.schema import metadata, schema_revisions

_connection = context.config.attributes["connection"]


def _record_works_with(*, ctx: MigrationContext, step: MigrationInfo, **_: Any) -> None:
    """Record which older code still works with the schema: that code cannot know it."""
    script = cast("Script", step.up_revision)
    assert ctx.connection is not None
    row = {"revision": script.revision, "works_with": script.module.works_with}
    ctx.connection.execute(schema_revisions.insert(), row)


context.configure(
    connection=_connection,
    target_metadata=metadata,
    render_as_batch=True,
    # Alembic calls it with keyword arguments, which its types do not say.
    on_version_apply=cast("Any", _record_works_with),
    # A shop may have an `alembic_version` of its own further down the search path.
    version_table_schema=backend(_connection).own_schema(_connection),
)
context.run_migrations()
