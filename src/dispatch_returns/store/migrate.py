"""Upgrades a database's schema to this version, with the migrations in the package.

A change of the schema takes two releases. The first one adds (expand): tables, indexes, and
columns that may be empty or have a server default. The previous release's code still works. A
later one removes what no code uses any more (contract). Each migration names in ``works_with`` the
oldest revision whose code works with its result, and that is written into the database: old code
cannot know what comes after it, but it can read.
"""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, select

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.store.dialect import backend
from dispatch_returns.store.schema import REVISION, schema_revisions

SCRIPTS = Path(__file__).parent / "migrations"
_one_at_a_time = threading.Lock()
"""Alembic keeps the connection it works on in a global."""


def revision(conn: Connection) -> str | None:
    """Return the migration the database is at, None if it has none of our tables."""
    schema = backend(conn).own_schema(conn)
    tables = inspect(conn)
    # The second distinguishes our `alembic_version` from that of a shop that uses Alembic too.
    if not all(tables.has_table(it, schema) for it in ("alembic_version", "schema_revisions")):
        return None
    found: str | None = conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return found


def mismatch(conn: Connection, found: str | None) -> str | None:
    """Return why this version cannot work with a schema at `found`, None if it can."""
    if found == REVISION:
        return None
    if found is None or found < REVISION:
        return (
            f"the database's schema is {found or 'empty'}, this version's is {REVISION}: run"
            " dispatch-returns db upgrade"
        )
    query = select(schema_revisions.c.works_with).where(schema_revisions.c.revision == found)
    oldest: str | None = conn.execute(query).scalar()
    if oldest is not None and oldest <= REVISION:
        return None
    return (
        f"this version's schema is {REVISION}, and it does not work with the database's, {found},"
        " which a newer version has created: upgrade dispatch-returns"
    )


def upgrade_if_needed(engine: Engine) -> bool:
    """Apply the migrations that are missing; return whether there were any.

    If two processes start at once, the second waits for the first and finds nothing to do.
    A newer schema is left as it is. Raises `ConfigurationError` if this version does not work
    with it, or if the tables are another program's.
    """
    with engine.connect() as conn:
        if not _needs_upgrade(conn):
            return False
        backend(engine).begin_alone(conn)
        try:
            if changed := _needs_upgrade(conn):
                _apply_migrations(conn)
            conn.exec_driver_sql("COMMIT")
        except BaseException:
            if not conn.invalidated:
                conn.exec_driver_sql("ROLLBACK")
            raise
        return changed


def require_usable(engine: Engine) -> None:
    """Raise `ConfigurationError` unless this version works with the database's schema."""
    with engine.connect() as conn:
        problem = mismatch(conn, revision(conn))
    if problem is not None:
        raise ConfigurationError(problem)


def _needs_upgrade(conn: Connection) -> bool:
    """Return whether migrations are missing. Raises `ConfigurationError` for too new a schema."""
    found = revision(conn)
    if found is None or found < REVISION:
        return True
    problem = mismatch(conn, found)
    if problem is not None:
        raise ConfigurationError(problem)
    return False


def _apply_migrations(conn: Connection) -> None:
    if revision(conn) is None:
        dialect = backend(conn)
        tables = inspect(conn).get_table_names(dialect.own_schema(conn))
        if tables:  # another program's
            raise ConfigurationError(dialect.not_ours(conn, sorted(tables)))
    # Alembic takes 100 ms to import, and is needed once in a database's life.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = conn
    with _one_at_a_time:
        command.upgrade(config, "head")
