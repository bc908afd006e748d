"""How SQLite is opened: durable commits, one writer at a time, readers that never wait."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from sqlite3 import SQLITE_BUSY, OperationalError
from sqlite3 import Connection as SqliteConnection
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.store import logs
from dispatch_returns.store.writer import GroupWriter

UPGRADES_ITSELF: bool = True

_NOT_OURS = (
    "{file} holds the tables of another program ({tables}), and none of ours: nothing was changed."
    " Name a file of its own in DISPATCH_RETURNS_DATABASE_URL, sqlite:///refunds.db"
)
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
    event.listen(engine, "do_connect", _make_for_its_owner)
    event.listen(engine, "connect", _on_connect)
    return engine


def writer(engine: Engine, check: Callable[[], None]) -> GroupWriter:
    """Return what writes to the file for this process."""
    return GroupWriter(engine, _BUSY_SECONDS, check)


def begin_alone(conn: Connection) -> None:
    """Begin a transaction beside which nobody else writes."""
    conn.exec_driver_sql("BEGIN IMMEDIATE")


def own_schema(conn: Connection) -> None:
    """Return None: a file is ours altogether, or not at all."""


def not_ours(conn: Connection, tables: list[str]) -> str:
    """Return what to say where the file holds the tables of another program."""
    return _NOT_OURS.format(file=conn.engine.url.database, tables=", ".join(tables[:3]))


def identity(engine: Engine) -> tuple[int, int] | None:
    """Return which file stands under the name, None where there is none or it cannot be said."""
    file = file_of(engine.url)
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def leave_for_fork(engine: Engine) -> None:
    """Close every connection: a child must not have one of them, not even to close it."""
    engine.dispose()


def lock_until_the_end(conn: Connection, what: str) -> None:
    """Do nothing: whoever writes is alone."""


def file_of(url: URL) -> Path | None:
    """Return the file that `url` names, None where it is written as a URI of SQLite's own."""
    return None if url.query or not url.database else Path(url.database)


def _make_for_its_owner(_dialect: object, _record: object, args: Any, _params: object) -> None:
    """Make a new file for its owner alone: it holds customers' data.

    SQLite gives its ``-wal`` and ``-shm`` the rights of the file. Rights that somebody has given
    to a file that is there are left.
    """
    name = args[0]
    if not name.startswith("file:"):
        # What else stands in the way, SQLite says in its own words.
        with contextlib.suppress(OSError):
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _on_connect(connection: SqliteConnection, _record: object) -> None:
    try:
        _use_our_file(connection)
    except BaseException:
        connection.close()  # the pool has not taken it over yet
        raise


def _use_our_file(connection: SqliteConnection) -> None:
    # WAL lasts: the file of another program must not be changed by as much as that.
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        _check_is_ours(connection)
    _use_wal(connection)
    # FULL: in WAL mode, NORMAL may lose the last commits when the power goes.
    # https://www.sqlite.org/pragma.html#pragma_synchronous
    for pragma in ("synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}")


def _check_is_ours(connection: SqliteConnection) -> None:
    """Raise `ConfigurationError` where there are tables, and none of ours."""
    found = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE"
        " '!' ORDER BY name"
    )
    tables = [name for (name,) in found]
    if tables and "schema_revisions" not in tables:
        file = next(path for _, _, path in connection.execute("PRAGMA database_list"))
        raise ConfigurationError(_NOT_OURS.format(file=file, tables=", ".join(tables[:3])))


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
