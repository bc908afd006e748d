"""How writes are committed: in groups, and on a server each write that waits by itself."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from dispatch_returns.errors import StoreUnavailableError
from dispatch_returns.store.failures import DatabaseError, unavailable
from dispatch_returns.store.rows import together

T = TypeVar("T")

CLOSED = "the store is closed"
_MOST_PER_COMMIT = 256


class Writer(Protocol):
    """Runs the writes of one process."""

    def submit(self, work: Callable[[Connection], T], /) -> Future[T]:
        """Queue `work`; the future resolves after its commit."""
        ...

    def write_alone(self, work: Callable[[Connection], T], /) -> Future[T] | None:
        """Commit `work` in this thread and return it done; None if it must be queued.

        `work` may lock what it needs.
        """
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

    One connection does it all. On SQLite another one would read again what this one has just
    written; on a server each commit would cost a flush and a round trip of its own. Nothing here
    is a database's own: its module passes in how to connect and to begin.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        begin: Callable[[Connection], None],
        check: Callable[[], None] = lambda: None,
        check_intact: Callable[[Connection], None] = lambda _: None,
        commit: Callable[[Connection], None] = Connection.commit,
    ) -> None:
        """`begin` starts a transaction on what `connect` returns; `check` raises if none may be.

        `check_intact` raises if the current transaction can't be committed any more; `commit`
        commits that of a group.
        """
        self._connect = connect
        self._begin = begin
        self._check = check
        self._check_intact = check_intact
        self._commit_group = commit
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
        try:
            self._check()
            self._conn = self._conn or self._connect()
            failure = self._commit_on(self._conn, batch, self._commit_group)
        except Exception as error:  # noqa: BLE001 - a thread that dies would leave every caller waiting
            self._disconnect()
            for job in batch:
                job.future.set_exception(_as_store_error(error))
            return
        if failure is not None:
            half = len(batch) // 2
            self._commit(batch[:half])
            self._commit(batch[half:])

    def _commit_on(
        self, conn: Connection, batch: list[_Job], commit: Callable[[Connection], None]
    ) -> BaseException | None:
        """Commit `batch` in one transaction on `conn`, and resolve its futures.

        Return what a job of several raised, after rolling back and without resolving any. Raises
        what the database says of anything else.
        """
        self._begin(conn)
        try:
            results = together(conn, [job.work for job in batch])
            self._check_intact(conn)
        except BaseException as error:
            conn.rollback()
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise
            if len(batch) > 1:
                return error
            # It is not run again: that might succeed, and then a Ctrl-C would be lost.
            batch[0].future.set_exception(_as_store_error(error))
            return None
        commit(conn)
        for job, result in zip(batch, results, strict=True):
            job.future.set_result(result)
        return None

    def _disconnect(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            conn.invalidate()  # its settings are not those of a reader
            conn.close()


class SharedWriter(GroupWriter):
    """For a server, where several write at once: commits in groups only what is submitted.

    A write that its caller waits for is committed by itself, in the caller's thread: it may wait
    for a lock, and nothing else must wait with it. What is submitted locks only rows that it adds.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        begin: Callable[[Connection], None],
        check_intact: Callable[[Connection], None],
        commit: Callable[[Connection], None],
        at_once: int,
    ) -> None:
        """At most `at_once` writes run next to the group, on connections of their own."""
        super().__init__(connect, begin, check_intact=check_intact, commit=commit)
        self._at_once = at_once
        self._free = threading.BoundedSemaphore(at_once)

    def write_alone(self, work: Callable[[Connection], T]) -> Future[T]:
        """Commit `work` in this thread and return it done."""
        job = _new_job(work)
        with self._free:
            try:
                self._check_open()
                with self._connect() as conn:
                    self._commit_on(conn, [job], Connection.commit)
            except Exception as error:  # noqa: BLE001 - the future raises it
                job.future.set_exception(_as_store_error(error))
        return job.future

    def close(self) -> None:
        """Commit what is queued, wait for the writes that run, then stop."""
        super().close()
        for _ in range(self._at_once):
            self._free.acquire()
        for _ in range(self._at_once):  # those that come later find it closed
            self._free.release()

    def pause(self) -> None:
        """Do nothing: a forked child does not use its parent's sockets."""

    def resume(self) -> None:
        """Do nothing, like `pause`."""

    def _check_open(self) -> None:
        if self._closed:
            raise StoreUnavailableError(CLOSED)


def _new_job(work: Callable[[Connection], Any]) -> _Job:
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()  # a job that may be on disk cannot be cancelled
    return _Job(work, future)


def _as_store_error(error: BaseException) -> BaseException:
    if isinstance(error, DatabaseError):
        return unavailable("the database did not confirm the commit", error)
    return error
