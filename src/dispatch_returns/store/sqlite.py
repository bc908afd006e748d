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
from sqlalchemy.exc import DBAPIError

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.store.failures import LOGGING_NAME
from dispatch_returns.store.writer import GroupWriter

UPGRADES_ITSELF: bool = True

_NOT_OURS = (
    "{file} holds another program's tables ({tables}) and none of ours: nothing was changed."
    " Name a separate file in DISPATCH_RETURNS_DATABASE_URL, such as sqlite:///refunds.db"
)
_BUSY_SECONDS = 5
"""How long a commit waits for another process. Webhook senders give up after ten seconds."""
_RETRY_MILLISECONDS = 20


def create(url: URL) -> Engine:
    """Return an engine for the file in `url`. Raises `ConfigurationError` if there is none."""
    if url.database in (None, "", ":memory:"):
        raise ConfigurationError(
            "a database in memory forgets what was paid: name a file, such as sqlite:///refunds.db"
        )
    # Autocommit, because the driver's own BEGIN comes too late to lock out a second writer:
    # the writer begins and commits itself.
    engine = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        connect_args={"timeout": _BUSY_SECONDS},
        hide_parameters=True,  # customers' data, which errors and logs would show
        logging_name=LOGGING_NAME,
    )
    event.listen(engine, "do_connect", _create_private_file)
    event.listen(engine, "connect", _on_connect)
    return engine


def writer(engine: Engine, check: Callable[[], None]) -> GroupWriter:
    """Return this process's writer."""

    def connect() -> Connection:
        conn = engine.connect()
        conn.exec_driver_sql(f"PRAGMA busy_timeout={_RETRY_MILLISECONDS}")
        conn.commit()  # SQLAlchemy has begun a transaction of its own, without a BEGIN
        return conn

    return GroupWriter(connect, _begin, check)


def _begin(conn: Connection) -> None:
    """Begin to write, after other processes' commits.

    SQLite itself asks ten times a second, and may never find the short gap between two
    transactions of a process that writes all the time.
    """
    _until_free(lambda: conn.exec_driver_sql("BEGIN IMMEDIATE"))


def _until_free(statement: Callable[[], object], pause: float = 0) -> None:
    """Repeat `statement` while another process has the lock, for `_BUSY_SECONDS` at most."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            statement()
        except (OperationalError, DBAPIError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            busy = getattr(cause, "sqlite_errorcode", None) == SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(pause)
        else:
            return


def listen(engine: Engine, heard: Callable[[], None]) -> Callable[[], None]:  # noqa: ARG001 - SQLite notifies nobody
    """Return a function that does nothing, as this one does."""
    return lambda: None


def begin_alone(conn: Connection) -> None:
    """Begin a transaction during which no other process writes."""
    conn.exec_driver_sql("BEGIN IMMEDIATE")


def own_schema(conn: Connection) -> None:
    """Return None: a file is entirely ours, or not ours at all."""


def not_ours(conn: Connection, tables: list[str]) -> str:
    """Return the message for a file that holds another program's tables."""
    return _NOT_OURS.format(file=conn.engine.url.database, tables=", ".join(tables[:3]))


def identity(engine: Engine) -> tuple[int, int] | None:
    """Return which file has the name (device and inode), None if there is none or it is unknown."""
    file = file_of(engine.url)
    if file is None:
        return None
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def leave_for_fork(engine: Engine) -> None:
    """Close every connection: a child must not have one, not even to close it."""
    engine.dispose()


def lock_until_the_end(conn: Connection, what: str) -> None:
    """Do nothing: SQLite has one writer at a time."""


def file_of(url: URL) -> Path | None:
    """Return the file that `url` names, None if it is written as one of SQLite's own URIs."""
    return None if url.query or not url.database else Path(url.database)


def _create_private_file(_dialect: object, _record: object, args: Any, _params: object) -> None:
    """Create a new file that only its owner may read: it holds customers' data.

    SQLite gives its ``-wal`` and ``-shm`` the same rights. An existing file keeps the rights that
    it has.
    """
    name = args[0]
    if not name.startswith("file:"):
        # SQLite reports any other error itself.
        with contextlib.suppress(OSError):
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))


def _on_connect(connection: SqliteConnection, _record: object) -> None:
    try:
        # WAL mode is kept in the file: another program's file must not be changed even by that.
        if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            _check_is_ours(connection)
        # SQLite itself does not wait for others who open a new file at this moment.
        _until_free(lambda: connection.execute("PRAGMA journal_mode=WAL"), 0.01)
        # FULL: in WAL mode, NORMAL may lose the last commits in a power cut.
        # https://www.sqlite.org/pragma.html#pragma_synchronous
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}")
    except BaseException:
        connection.close()  # the pool does not own it yet
        raise


def _check_is_ours(connection: SqliteConnection) -> None:
    """Raise `ConfigurationError` if there are tables, and none of ours."""
    found = connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE"
        " '!' ORDER BY name"
    )
    tables = [name for (name,) in found]
    if tables and "schema_revisions" not in tables:
        file = next(path for _, _, path in connection.execute("PRAGMA database_list"))
        raise ConfigurationError(_NOT_OURS.format(file=file, tables=", ".join(tables[:3])))
