"""How SQLite is opened: durable commits, one writer at a time, readers that never wait."""

from __future__ import annotations

from sqlite3 import Connection as SqliteConnection

from sqlalchemy import URL, Engine, create_engine, event

from dispatch_returns.errors import ConfigurationError

_BUSY_SECONDS = 5
"""How long a commit waits for another process's. Webhook senders give up after ten seconds."""


def create(url: URL) -> Engine:
    """Return an engine for the file in `url`. Raises `ConfigurationError` if there is none."""
    if url.database in (None, "", ":memory:"):
        raise ConfigurationError(
            "a database in memory forgets what was paid: name a file, sqlite:///refunds.db"
        )
    # Autocommit, because the driver's own BEGIN comes too late to lock out a second writer:
    # the writer says BEGIN IMMEDIATE and COMMIT itself.
    engine = create_engine(
        url, isolation_level="AUTOCOMMIT", connect_args={"timeout": _BUSY_SECONDS}
    )
    event.listen(engine, "connect", _on_connect)
    return engine


def _on_connect(connection: SqliteConnection, _record: object) -> None:
    # FULL: in WAL mode, NORMAL may lose the last commits when the power goes.
    # https://www.sqlite.org/pragma.html#pragma_synchronous
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")
