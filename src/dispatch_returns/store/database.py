"""`Store`: the one object that opens the database, reads it and commits to it.

A forked child inherits SQLite's memory. If its parent was inside a transaction, the child takes
that lock for its own and never gets it; and a connection must not be carried into a child at all
(https://www.sqlite.org/howtocorrupt.html, section 2.6). So a fork waits until no transaction
runs, and both sides open new connections after it.
"""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Callable, Generator
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TypeVar
from weakref import WeakSet

from sqlalchemy import Connection, Engine, delete, insert, make_url
from sqlalchemy.exc import ArgumentError

from dispatch_returns.errors import ConfigurationError, StoreUnavailableError
from dispatch_returns.store import migrate
from dispatch_returns.store.dialect import backend
from dispatch_returns.store.failures import DatabaseError, unavailable
from dispatch_returns.store.schema import inbox
from dispatch_returns.store.writer import CLOSED, Writer

T = TypeVar("T")

_CANNOT = "the database cannot be used now"


class Store:
    """An open database. Safe to share between threads; survives a fork (gunicorn's preload).

    A write is a function that runs inside a transaction. All that are submitted and waiting at the
    same moment share one commit, so a burst of deliveries costs one disk flush.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._identity = backend(engine).identity(engine)
        self._guard = threading.Lock()
        self._writer: Writer | None = None
        self._closed = False
        with _one_fork:
            _open_stores.add(self)

    @classmethod
    def open(cls, url: str, *, create: bool = True) -> Self:
        """Open the database at `url`: ``sqlite:///refunds.db``, ``postgresql://user@host/shop``.

        SQLite's schema is upgraded to this version; PostgreSQL's must be already, by `upgrade`.
        Without `create`, a SQLite file must already exist, so that a typing error in a command
        that only reads does not create an empty one. Raises `ConfigurationError` for a URL that
        cannot work, for a schema that this version does not work with, and for another program's
        tables; `StoreUnavailableError` when the database cannot be reached, opened or written.
        """
        engine = _engine(url)
        if not create:
            _check_is_there(engine)
        with _closing_on_error(engine):
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

    def submit(self, name: str, work: Callable[[Connection], T]) -> Future[T]:  # noqa: ARG002 - for people and tests
        """Run `work` in a write transaction; the future resolves once it is on disk.

        `work` must be quick, touch nothing but the connection, and lock only rows that it adds:
        it shares its transaction with others. `name` identifies the write, for people and for the
        crash tests. The future raises what `work` raised, or
        `StoreUnavailableError` when the database did not confirm the commit.
        """
        with self._guard:  # so that nothing is queued after the writer has closed
            return self._open_writer().submit(work)

    def write(self, name: str, work: Callable[[Connection], T]) -> T:
        """Like `submit`, but wait for the result and return it. `work` may lock what it needs."""
        with self._guard:
            writer = self._open_writer()
        done = writer.write_alone(work) or self.submit(name, work)
        return done.result()

    def _open_writer(self) -> Writer:
        if self._closed:
            raise StoreUnavailableError(CLOSED)
        if self._writer is None:
            self._writer = backend(self._engine).writer(self._engine, self._check_identity)
        return self._writer

    def _check_identity(self) -> None:
        """Raise `StoreUnavailableError` if the file is gone, or another one is in its place.

        A write into a file that was deleted is acknowledged, and lost with the process.
        """
        if backend(self._engine).identity(self._engine) != self._identity:
            raise StoreUnavailableError(
                "the database's file was deleted or replaced since it was opened: restart this"
                " process"
            )

    def listen(self, heard: Callable[[], None]) -> Callable[[], None]:
        """Call `heard` when another process has accepted a delivery, until the result is called.

        Only PostgreSQL says so, and what it says may be lost: look regularly in any case.
        """
        return backend(self._engine).listen(self._engine, heard)

    def check_writable(self) -> None:
        """Write a row into the inbox, as a delivery does, and delete it, through to the disk.

        Raises `StoreUnavailableError`.
        """

        def add_and_delete(conn: Connection) -> None:
            row = {"source": "probe", "event_id": uuid.uuid4().hex, "type": "probe", "body": b""}
            times = {"received_at": datetime.now(UTC), "state": "done"}
            conn.execute(insert(inbox).inline(), row | times)
            probe = (inbox.c.source == "probe", inbox.c.event_id == row["event_id"])
            conn.execute(delete(inbox).where(*probe))

        self.write("store.check", add_and_delete)

    @contextlib.contextmanager
    def read(self) -> Generator[Connection]:
        """Yield a connection for reading. Raises `StoreUnavailableError`."""
        if self._closed:
            raise StoreUnavailableError(CLOSED)
        try:
            with self._engine.connect() as conn:
                yield conn
        except DatabaseError as error:
            raise unavailable(_CANNOT, error) from None

    def close(self) -> None:
        """Finish the writes that are queued, and close every connection. May be called twice."""
        with self._guard:
            self._closed = True
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        self._engine.dispose()

    def before_fork(self) -> None:
        """Wait for the current transaction, start no other, and close SQLite's connections."""
        self._guard.acquire()
        if self._writer is not None:
            self._writer.pause()
        backend(self._engine).leave_for_fork(self._engine)

    def after_fork_in_parent(self) -> None:
        """Continue."""
        if self._writer is not None:
            self._writer.resume()
        self._guard.release()

    def after_fork_in_child(self) -> None:
        """Start over: the other threads exist in the parent only."""
        if self._writer is not None:
            _of_parents.append(self._writer)
            self._writer = None
        self._engine.dispose(close=False)
        self._guard.release()


_open_stores: WeakSet[Store] = WeakSet()
_of_parents: list[Writer] = []
"""Kept, because a writer that is deleted would roll back its parent's transaction."""
_paused: list[Store] = []
_one_fork = threading.RLock()


def before_fork() -> None:
    """Pause every open store of this process."""
    _one_fork.acquire()
    _paused.extend(_open_stores)
    for store in _paused:
        store.before_fork()


def after_fork_in_parent() -> None:
    """Let the stores of the parent continue."""
    while _paused:
        _paused.pop().after_fork_in_parent()
    _one_fork.release()


def after_fork_in_child() -> None:
    """Let the stores of the child start over."""
    while _paused:
        _paused.pop().after_fork_in_child()
    _one_fork.release()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(
        before=before_fork,
        after_in_parent=after_fork_in_parent,
        after_in_child=after_fork_in_child,
    )


def upgrade(url: str) -> bool:
    """Create the database at `url`, or upgrade its schema; return whether anything changed.

    May run several times at once: the others wait for the first. Raises like `Store.open`.
    """
    engine = _engine(url)
    with _closing_on_error(engine):
        changed = migrate.upgrade_if_needed(engine)
    engine.dispose()
    return changed


def revision(url: str) -> str | None:
    """Return the migration that the database at `url` is at, None if it is empty. Changes nothing.

    Raises like `Store.open` without ``create``.
    """
    engine = _engine(url)
    _check_is_there(engine)
    with _closing_on_error(engine), engine.connect() as conn:
        found = migrate.revision(conn)
    engine.dispose()
    return found


def mismatch(url: str) -> str | None:
    """Return why this version cannot work with the database at `url`, None if it can.

    Changes nothing, and raises like `Store.open` without ``create``.
    """
    engine = _engine(url)
    _check_is_there(engine)
    with _closing_on_error(engine), engine.connect() as conn:
        problem = migrate.mismatch(conn, migrate.revision(conn))
    engine.dispose()
    return problem


@contextlib.contextmanager
def _closing_on_error(engine: Engine) -> Generator[None]:
    """Close the connections if the block fails, and raise the error as one of ours."""
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
    # Heroku and others still write postgres://.
    if url.startswith("postgres:"):
        url = url.replace("postgres://", "postgresql://", 1)
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigurationError(
            "the database URL cannot be read: write sqlite:///refunds.db, or"
            " postgresql://user:password@host/database"
        ) from None
    return backend(parsed).create(parsed)
