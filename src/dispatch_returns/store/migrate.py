"""Brings a database's schema up to this version, with the migrations in the package."""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.store.dialect import backend
from dispatch_returns.store.schema import REVISION

_one_at_a_time = threading.Lock()
"""Alembic keeps the connection it works on in a module's global."""


def revision(conn: Connection) -> str | None:
    """Return the migration the database is at, or None for an empty one."""
    if not inspect(conn).has_table("alembic_version"):
        return None
    found: str | None = conn.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return found


def upgrade_if_needed(engine: Engine) -> bool:
    """Apply the migrations that are missing; return whether there were any.

    Two processes may start at once: the second waits for the first and finds nothing to do.
    """
    with engine.connect() as conn:
        if revision(conn) == REVISION:
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


def require_newest(engine: Engine) -> None:
    """Raise `ConfigurationError` unless the database is at this version's schema."""
    with engine.connect() as conn:
        found = revision(conn)
    if found != REVISION:
        raise ConfigurationError(
            f"the database's schema is {found or 'empty'}, this version's is {REVISION}: run"
            " dispatch-returns db upgrade"
        )


def _upgrade(conn: Connection) -> bool:
    found = revision(conn)
    if found == REVISION:
        return False
    # Alembic takes 100 ms to import and is needed once in a database's life.
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = conn
    try:
        with _one_at_a_time:
            command.upgrade(config, "head")
    except CommandError:
        raise ConfigurationError(
            f"this version does not know the database's schema {found}, a newer one seems to have"
            " made it: upgrade dispatch-returns"
        ) from None
    return True
