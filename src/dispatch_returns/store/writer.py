"""Commits in groups: everything that waits when the disk is free shares one flush."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Engine

from dispatch_returns.store.failures import DatabaseError, unavailable

T = TypeVar("T")

_MOST_PER_COMMIT = 256
_ASK_EVERY_MILLISECONDS = 20


@dataclass(slots=True)
class _Job:
    name: str
    work: Callable[[Connection], Any]
    future: Future[Any]
    result: Any = None
    error: BaseException | None = None

    def run(self, conn: Connection) -> None:
        """Run in the batch's transaction. What goes wrong is raised, and spoils the batch."""
        self.result = self.work(conn)

    def run_alone(self, conn: Connection) -> None:
        """Run inside a savepoint, so that one that fails does not spoil its neighbours'."""
        say = _driver(conn).execute
        say("SAVEPOINT job")
        try:
            self.run(conn)
        except BaseException as error:  # noqa: BLE001 - it is handed to whoever waits for the job
            say("ROLLBACK TO job")
            self.error = error
        say("RELEASE job")

    def resolve(self) -> None:
        if self.error is not None:
            self.future.set_exception(_as_store_error(self.error))
        else:
            self.future.set_result(self.result)


class GroupWriter:
    """The one writer of a process to a SQLite file: a thread, or whoever finds nobody writing.

    One connection serves all of it: another one would read again what this one has just written.
    """

    def __init__(self, engine: Engine, patience: float, check: Callable[[], None]) -> None:
        """`patience` is how many seconds a commit waits for another process's.

        `check` raises where nothing may be written: what is open is not the file any more.
        """
        self._engine = engine
        self._patience = patience
        self._check = check
        self._conn: Connection | None = None
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._busy = threading.Lock()
        self._wanted = False
        """The thread has a batch, so that others must let it pass."""
        self._ended = False
        self._thread = threading.Thread(
            target=self._run, name="dispatch-returns-writer", daemon=True
        )
        self._thread.start()

    def submit(self, name: str, work: Callable[[Connection], T]) -> Future[T]:
        """Queue `work`; the future resolves after the commit that holds it."""
        job = _new_job(name, work)
        self._jobs.put(job)
        return job.future

    def write_alone(self, name: str, work: Callable[[Connection], T]) -> Future[T] | None:
        """Commit `work` in this thread and return it done; None where others write or wait.

        It saves two changes of threads, for which there must be an interpreter free each time.
        """
        if self._wanted or not self._busy.acquire(blocking=False):
            return None
        try:
            if self._ended:
                return None
            job = _new_job(name, work)
            self._commit([job])
            return job.future
        finally:
            self._busy.release()

    def close(self) -> None:
        """Commit what waits, then stop."""
        self._jobs.put(None)
        self._thread.join()
        with self._busy:
            self._ended = True
            self._disconnect()

    def pause(self) -> None:
        """Wait for the commit under way, and begin no other one until `resume`."""
        self._busy.acquire()
        self._disconnect()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._busy.release()

    def _run(self) -> None:
        open_for_more = True
        while open_for_more:
            batch, open_for_more = self._next_batch()
            if batch:
                self._wanted = True
                with self._busy:
                    self._wanted = False
                    self._commit(batch)

    def _next_batch(self) -> tuple[list[_Job], bool]:
        batch: list[_Job] = []
        job = self._jobs.get()
        while job is not None:
            batch.append(job)
            if len(batch) == _MOST_PER_COMMIT:
                return batch, True
            try:
                job = self._jobs.get_nowait()
            except Empty:
                return batch, True
        return batch, False

    def _commit(self, batch: list[_Job]) -> None:
        try:
            self._check()
            self._conn = self._conn or _connection(self._engine)
            # SQLAlchemy commits at the end; in autocommit it leaves the beginning to us.
            with self._conn.begin():
                _begin(_driver(self._conn), self._patience)
                _run_each(self._conn, batch, self._patience)
        except Exception as error:  # noqa: BLE001 - a thread that dies would leave every caller waiting
            self._disconnect()
            failure = _as_store_error(error)
            for job in batch:
                job.future.set_exception(failure)
            return
        for job in batch:
            job.resolve()

    def _disconnect(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.invalidate()  # a reader would not be patient enough with it
            conn.close()


def _new_job(name: str, work: Callable[[Connection], Any]) -> _Job:
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()  # a job that may be on disk cannot be taken back
    return _Job(name, work, future)


def _connection(engine: Engine) -> Connection:
    conn = engine.connect()
    _driver(conn).execute(f"PRAGMA busy_timeout={_ASK_EVERY_MILLISECONDS}")
    return conn


def _begin(driver: sqlite3.Connection, patience: float) -> None:
    """Begin to write, after whoever writes in another process.

    SQLite itself asks ten times a second, and may never find the short time between two
    transactions of a process that writes all the time. The driver's own BEGIN comes too late to
    lock out a second writer.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            driver.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
        else:
            return


def _run_each(conn: Connection, batch: list[_Job], patience: float) -> None:
    """Run the jobs: together, as all of them go well nearly always, and else each for itself.

    Savepoints are a third of the statements of a batch, and at each statement another thread
    may take the interpreter.
    """
    try:
        for job in batch:
            job.run(conn)
    except BaseException as error:  # noqa: BLE001 - it is handed to whoever waits for the job
        driver = _driver(conn)
        driver.rollback()
        if len(batch) == 1:
            # Run again it may go well, and then a Ctrl-C would be lost.
            batch[0].error = error
            return
        _begin(driver, patience)
        for job in batch:
            job.run_alone(conn)


def _driver(conn: Connection) -> sqlite3.Connection:
    """Return the driver's connection: a word to it takes a third of the time through SQLAlchemy."""
    return cast("sqlite3.Connection", conn.connection.driver_connection)


def _as_store_error(error: BaseException) -> BaseException:
    if isinstance(error, (*DatabaseError, sqlite3.Error)):
        return unavailable("the database did not commit", error)
    return error
