"""`Store`: the one object that opens the database, reads it and commits to it."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Generator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar

from sqlalchemy import Connection, Engine, delete, insert, make_url
from sqlalchemy.exc import ArgumentError

from dispatch_returns.errors import ConfigurationError, StoreUnavailableError
from dispatch_returns.store import forking, migrate
from dispatch_returns.store.dialect import Writer, backend
from dispatch_returns.store.failures import DatabaseError, unavailable
from dispatch_returns.store.schema import inbox

T = TypeVar("T")

_CLOSED = "the store is closed"
_CANNOT = "the database cannot be used now"
_REPLACED = (
    "the database's file was deleted, or another one was put in its place, since it was opened:"
    " restart this process"
)


class Store:
    """An open database. Safe to share between threads; survives a fork (gunicorn's preload).

    Writes are functions run inside a transaction. On SQLite those that wait at the same moment
    share one commit, so a burst of deliveries costs one disk flush and not one each.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._identity = backend(engine).identity(engine)
        self._guard = threading.Lock()
        self._writer: Writer | None = None
        self._closed = False
        forking.watch(self)

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> Self:
        """Open the database at `url`: ``sqlite:///refunds.db``, ``postgresql://user@host/shop``.

        SQLite's schema is brought up to this version; PostgreSQL's must be, by `upgrade`.
        Without `create`, a SQLite file must be there already: who only wants to look should
        not make an empty one by a typing error. Raises `ConfigurationError` for a URL that
        cannot work, for a schema that this version does not work with, and for the tables of
        another program; `StoreUnavailableError` when the database cannot be reached, opened or
        written.
        """
        engine = _engine(url)
        if not create:
            _check_is_there(engine)
        with _giving_up(engine):
            if backend(engine).UPGRADES_ITSELF:
                migrate.upgrade_if_needed(engine)
            else:
                migrate.require_usable(engine)
        return cls(engine)

    def __repr__(self) -> str:
        return f"Store({self._engine.url.render_as_string(hide_password=True)!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(self, name: str, work: Callable[[Connection], T]) -> Future[T]:
        """Run `work` in a write transaction; the future resolves once it is on disk.

        `work` must be quick and touch nothing but the connection. `name` says which step it
        is, for people and for the crash tests. The future raises what `work` raised, or
        `StoreUnavailableError` when the database did not say that it has committed.
        """
        with self._guard:  # so that no job comes behind the end of the writer's queue
            return self._open_writer().submit(name, work)

    def write(self, name: str, work: Callable[[Connection], T]) -> T:
        """Do as `submit` and wait for the result."""
        with self._guard:
            writer = self._open_writer()
        done = writer.write_alone(name, work) or self.submit(name, work)
        return done.result()

    def _open_writer(self) -> Writer:
        if self._closed:
            raise StoreUnavailableError(_CLOSED)
        if self._writer is None:
            self._writer = backend(self._engine).writer(self._engine, self._check_is_the_same)
        return self._writer

    def _check_is_the_same(self) -> None:
        """Raise `StoreUnavailableError` where the file is gone, or another one is in its place.

        What is written into a file without a name is acknowledged, and lost with the process.
        """
        if backend(self._engine).identity(self._engine) != self._identity:
            raise StoreUnavailableError(_REPLACED)

    def check_writable(self) -> None:
        """Write into the inbox, as a delivery does, through to the disk, and take it out again.

        Raises `StoreUnavailableError`.
        """
        self.write("store.check", _accept_and_forget)

    @contextlib.contextmanager
    def read(self) -> Generator[Connection]:
        """Give a connection for reading. Raises `StoreUnavailableError`."""
        if self._closed:
            raise StoreUnavailableError(_CLOSED)
        try:
            with self._engine.connect() as conn:
                yield conn
        except DatabaseError as error:
            raise unavailable(_CANNOT, error) from None

    def close(self) -> None:
        """Finish the writes that wait, and close every connection. May be called twice."""
        with self._guard:
            self._closed = True
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        self._engine.dispose()

    def before_fork(self) -> None:
        """See `forking`."""
        self._guard.acquire()
        if self._writer is not None:
            self._writer.pause()
        backend(self._engine).leave_for_fork(self._engine)

    def after_fork_in_parent(self) -> None:
        """See `forking`."""
        if self._writer is not None:
            self._writer.resume()
        self._guard.release()

    def after_fork_in_child(self) -> None:
        """See `forking`."""
        self._writer = None
        self._engine.dispose(close=False)
        self._guard.release()


def upgrade(url: str) -> bool:
    """Make the database at `url`, or bring its schema up; return whether there was anything to do.

    Several may do it at once: the others wait for the first. Raises as `Store.open` does.
    """
    engine = _engine(url)
    with _giving_up(engine):
        changed = migrate.upgrade_if_needed(engine)
    engine.dispose()
    return changed


def revision(url: str) -> str | None:
    """Return the migration the database at `url` is at, None for an empty one; change nothing.

    Raises as `Store.open` does without ``create``.
    """
    engine = _engine(url)
    _check_is_there(engine)
    with _giving_up(engine), engine.connect() as conn:
        found = migrate.revision(conn)
    engine.dispose()
    return found


def mismatch(url: str) -> str | None:
    """Return why this version cannot work with the database at `url` as it is, None if it can.

    Changes nothing, and raises as `Store.open` does without ``create``.
    """
    engine = _engine(url)
    _check_is_there(engine)
    with _giving_up(engine), engine.connect() as conn:
        problem = migrate.mismatch(conn, migrate.revision(conn))
    engine.dispose()
    return problem


def _accept_and_forget(conn: Connection) -> None:
    row = {"source": "probe", "event_id": uuid.uuid4().hex, "type": "probe", "body": b""}
    times = {"received_at": datetime.now(UTC), "state": "done"}
    conn.execute(insert(inbox).inline(), row | times)
    conn.execute(
        delete(inbox).where(inbox.c.source == "probe", inbox.c.event_id == row["event_id"])
    )


@contextlib.contextmanager
def _giving_up(engine: Engine) -> Generator[None]:
    """Close what was opened if the block fails, and say why in words of ours."""
    try:
        yield
    except DatabaseError as error:
        engine.dispose()
        raise unavailable(_CANNOT, error) from None
    except BaseException:
        engine.dispose()
        raise


def _check_is_there(engine: Engine) -> None:
    path = Path(engine.url.database or "")
    named_plainly = engine.dialect.name == "sqlite" and not engine.url.query
    if named_plainly and not path.is_file():
        raise StoreUnavailableError(f"there is no database at {path.absolute()}")


def _engine(url: str) -> Engine:
    # Heroku and others still write it so.
    written = url.replace("postgres://", "postgresql://", 1) if url.startswith("postgres:") else url
    try:
        parsed = make_url(written)
    except ArgumentError:
        raise ConfigurationError(
            "the database URL cannot be read: write sqlite:///refunds.db, or"
            " postgresql://user:password@host/database"
        ) from None
    return backend(parsed).create(parsed)
