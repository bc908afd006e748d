"""How SQLite is opened: durable commits, one writer at a time, readers that never wait."""

from __future__ import annotations

import time
from sqlite3 import SQLITE_BUSY, OperationalError
from sqlite3 import Connection as SqliteConnection

from sqlalchemy import URL, Connection, Engine, create_engine, event

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.store import logs
from dispatch_returns.store.writer import GroupWriter

UPGRADES_ITSELF: bool = True

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
        logging_name=logs.NAME,
    )
    event.listen(engine, "connect", _on_connect)
    return engine


def writer(engine: Engine) -> GroupWriter:
    """Return what writes to the file for this process."""
    return GroupWriter(engine, _BUSY_SECONDS)


def begin_alone(conn: Connection) -> None:
    """Begin a transaction beside which nobody else writes."""
    conn.exec_driver_sql("BEGIN IMMEDIATE")


def leave_for_fork(engine: Engine) -> None:
    """Close every connection: a child must not have one of them, not even to close it."""
    engine.dispose()


def lock_until_the_end(conn: Connection, what: str) -> None:
    """Do nothing: whoever writes is alone."""


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
