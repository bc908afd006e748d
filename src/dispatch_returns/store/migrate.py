"""Brings a database's schema up to this version, with the migrations in the package.

A change of the schema takes two releases. The first one adds (expand): columns that may be empty
or have a default of the server's, tables, indexes. The code of the release before goes on working.
A later one takes away what no code uses any more (contract). Each migration says in ``works_with``
which is the oldest revision whose code works with what it makes, and that is written into the
database: old code cannot know what will come after it, but it can read.
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
"""Alembic keeps the connection it works on in a module's global."""


def revision(conn: Connection) -> str | None:
    """Return the migration the database is at, or None for one that has no tables of ours."""
    schema = backend(conn).own_schema(conn)
    tables = inspect(conn)
    # The second one tells our `alembic_version` from the one of a shop that uses Alembic too.
    if not all(tables.has_table(it, schema) for it in ("alembic_version", "schema_revisions")):
        return None
    found: str | None = conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return found


def mismatch(conn: Connection, found: str | None) -> str | None:
    """Return why this version cannot work with a schema at `found`, or None if it can."""
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
        " which a newer version has made: upgrade dispatch-returns"
    )


def upgrade_if_needed(engine: Engine) -> bool:
    """Apply the migrations that are missing; return whether there were any.

    Two processes may start at once: the second waits for the first and finds nothing to do.
    A newer schema is left as it is. Raises `ConfigurationError` where this version does not work
    with it, and where the tables are somebody else's.
    """
    with engine.connect() as conn:
        if not _is_to_be_upgraded(conn):
            return False
        backend(engine).begin_alone(conn)
        try:
            changed = _upgrade(conn)
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


def _is_to_be_upgraded(conn: Connection) -> bool:
    """Return whether migrations are missing. Raises `ConfigurationError` for too new a schema."""
    found = revision(conn)
    if found is None or found < REVISION:
        return True
    problem = mismatch(conn, found)
    if problem is not None:
        raise ConfigurationError(problem)
    return False


def _upgrade(conn: Connection) -> bool:
    if not _is_to_be_upgraded(conn):
        return False
    if revision(conn) is None:
        _check_that_it_is_empty(conn)
    # Alembic takes 100 ms to import and is needed once in a database's life.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SCRIPTS))
    config.attributes["connection"] = conn
    with _one_at_a_time:
        command.upgrade(config, "head")
    return True


def _check_that_it_is_empty(conn: Connection) -> None:
    """Raise `ConfigurationError` if somebody else's tables stand where ours would."""
    dialect = backend(conn)
    tables = inspect(conn).get_table_names(dialect.own_schema(conn))
    if tables:
        raise ConfigurationError(dialect.not_ours(conn, sorted(tables)))
