"""How SQLite is opened: durable commits, one writer at a time, readers that never wait."""

from __future__ import annotations

import time
from sqlite3 import SQLITE_BUSY, OperationalError
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
        url,
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": _BUSY_SECONDS},
        hide_parameters=True,  # they are customers' data, and would stand in errors and logs
    )
    event.listen(engine, "connect", _on_connect)
    return engine


def _on_connect(connection: SqliteConnection, _record: object) -> None:
    _use_wal(connection)
    # FULL: in WAL mode, NORMAL may lose the last commits when the power goes.
    # https://www.sqlite.org/pragma.html#pragma_synchronous
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _use_wal(connection: SqliteConnection) -> None:
    """Turn WAL on. SQLite itself does not wait for others who open a new file at this moment."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except OperationalError as error:
            if error.sqlite_errorcode != SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
