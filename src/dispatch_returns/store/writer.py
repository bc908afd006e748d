"""How writes are committed: in groups (SQLite), or each in its own transaction (PostgreSQL)."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection, Engine

from dispatch_returns.store.failures import DatabaseError, unavailable

T = TypeVar("T")

_MOST_PER_COMMIT = 256


class Writer(Protocol):
    """Runs the writes of one process."""

    def submit(self, work: Callable[[Connection], T], /) -> Future[T]:
        """Queue `work`; the future resolves after its commit."""
        ...

    def write_alone(self, work: Callable[[Connection], T], /) -> Future[T] | None:
        """Commit `work` in this thread and return it done; None if it must be queued."""
        ...

    def close(self) -> None:
        """Commit what is queued, then stop."""
        ...

    def pause(self) -> None:
        """Before a fork: leave no transaction running that must not cross it."""
        ...

    def resume(self) -> None:
        """Continue after `pause`, in the parent."""
        ...


class _Job(NamedTuple):
    work: Callable[[Connection], Any]
    future: Future[Any]


class GroupWriter:
    """Commits in groups: all writes that are queued when the disk is free share one flush.

    One connection does it all, because another one would read again what this one has just
    written. Nothing here is SQLite's own: its module passes in how to connect and to begin.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        begin: Callable[[Connection], None],
        check: Callable[[], None],
    ) -> None:
        """`begin` starts a transaction on what `connect` returns; `check` raises if none may be."""
        self._connect = connect
        self._begin = begin
        self._check = check
        self._conn: Connection | None = None
        self._queued: deque[_Job] = deque()
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._busy = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(
            target=self._run, name="dispatch-returns-writer", daemon=True
        )
        self._thread.start()

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """Queue `work`; the future resolves after the commit that contains it."""
        job = _new_job(work)
        self._queued.append(job)
        self._wake.put(True)
        return job.future

    def write_alone(self, work: Callable[[Connection], T]) -> Future[T] | None:
        """Commit `work` in this thread and return it done; None if others write or are queued.

        This saves two switches between threads, each of which has to wait for the interpreter.
        """
        if self._queued or not self._busy.acquire(blocking=False):
            return None
        try:
            if self._closed:
                return None
            job = _new_job(work)
            self._commit([job])
            return job.future
        finally:
            self._busy.release()

    def close(self) -> None:
        """Commit what is queued, then stop."""
        self._wake.put(False)
        self._thread.join()
        with self._busy:
            self._closed = True
            self._disconnect()

    def pause(self) -> None:
        """Wait for the current commit, and start no other until `resume`."""
        self._busy.acquire()
        self._disconnect()

    def resume(self) -> None:
        """Continue after `pause`."""
        self._busy.release()

    def _run(self) -> None:
        # Each queued job wakes this thread once, and is committed then at the latest.
        while self._wake.get():
            if self._queued:
                with self._busy:
                    size = min(len(self._queued), _MOST_PER_COMMIT)
                    self._commit([self._queued.popleft() for _ in range(size)])

    def _commit(self, batch: list[_Job]) -> None:
        """Commit `batch` in one transaction, and resolve its futures.

        If a job fails, commit each half on its own, so that it fails alone. A commit that fails
        is never repeated: it may be on disk.
        """
        failure: BaseException | None = None
        try:
            self._check()
            self._conn = self._conn or self._connect()
            with self._conn.begin() as transaction:
                self._begin(self._conn)
                try:
                    results = [job.work(self._conn) for job in batch]
                except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits for the job
                    transaction.rollback()
                    failure, results = error, []
        except Exception as error:  # noqa: BLE001 - a thread that dies would leave every caller waiting
            self._disconnect()
            for job in batch:
                job.future.set_exception(_as_store_error(error))
            return
        if failure is None:
            for job, result in zip(batch, results, strict=True):
                job.future.set_result(result)
        elif len(batch) == 1:
            # It is not run again: that might succeed, and then a Ctrl-C would be lost.
            batch[0].future.set_exception(_as_store_error(failure))
        else:
            half = len(batch) // 2
            self._commit(batch[:half])
            self._commit(batch[half:])

    def _disconnect(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.invalidate()  # its settings are not those of a reader
            conn.close()


class TransactionWriter:
    """Runs each write in a transaction of its own, several at a time: the server joins flushes."""

    def __init__(self, engine: Engine, begin: str, at_once: int) -> None:
        self._engine = engine
        self._begin = begin
        self._threads = ThreadPoolExecutor(at_once, "dispatch-returns-writer")

    def submit(self, work: Callable[[Connection], T]) -> Future[T]:
        """Queue `work`; the future resolves after its commit."""

        def run() -> T:
            try:
                with self._engine.connect() as conn:
                    conn.exec_driver_sql(self._begin)
                    try:
                        result = work(conn)
                        conn.exec_driver_sql("COMMIT")
                    except BaseException:
                        # If the connection broke, the server has rolled back already.
                        if not conn.invalidated:
                            conn.exec_driver_sql("ROLLBACK")
                        raise
                    return result
            except DatabaseError as error:
                raise _as_store_error(error) from None

        return self._threads.submit(run)

    def write_alone(self, work: Callable[[Connection], T]) -> None:
        """Return None: the number of threads limits the connections."""

    def close(self) -> None:
        """Commit what is queued, then stop."""
        self._threads.shutdown()

    def pause(self) -> None:
        """Do nothing: a forked child does not use its parent's sockets."""

    def resume(self) -> None:
        """Do nothing, like `pause`."""


def _new_job(work: Callable[[Connection], Any]) -> _Job:
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()  # a job that may be on disk cannot be cancelled
    return _Job(work, future)


def _as_store_error(error: BaseException) -> BaseException:
    if isinstance(error, DatabaseError):
        return unavailable("the database did not confirm the commit", error)
    return error
