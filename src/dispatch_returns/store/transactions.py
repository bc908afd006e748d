"""A transaction for each write, several at a time: for a server that joins their flushes itself."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from sqlalchemy import Connection, Engine

from dispatch_returns.store.failures import DatabaseError, unavailable

T = TypeVar("T")


class TransactionWriter:
    """Runs writes in threads of its own, each with a connection and a transaction."""

    def __init__(self, engine: Engine, begin: str, at_once: int) -> None:
        self._engine = engine
        self._begin = begin
        self._threads = ThreadPoolExecutor(at_once, "dispatch-returns-writer")

    def submit(self, name: str, work: Callable[[Connection], T]) -> Future[T]:  # noqa: ARG002 - the name is for tests and people
        """Queue `work`; the future resolves after its commit."""
        return self._threads.submit(self._run, work)

    def write_alone(self, name: str, work: Callable[[Connection], T]) -> None:
        """Return None: the threads are what bounds the connections."""

    def close(self) -> None:
        """Commit what waits, then stop."""
        self._threads.shutdown()

    def pause(self) -> None:
        """Do nothing: a forked child has no part in the sockets that its parent uses."""

    def resume(self) -> None:
        """Do nothing, as `pause` did."""

    def _run(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._engine.connect() as conn:
                return self._run_in_transaction(conn, work)
        except DatabaseError as error:
            raise unavailable("the database did not say that it has committed", error) from None

    def _run_in_transaction(self, conn: Connection, work: Callable[[Connection], T]) -> T:
        conn.exec_driver_sql(self._begin)
        try:
            result = work(conn)
            conn.exec_driver_sql("COMMIT")
        except BaseException:
            # Where the connection broke, the server has done so; this only says it again.
            if not conn.invalidated:
                conn.exec_driver_sql("ROLLBACK")
            raise
        return result
