"""What each database does in its own way: one module for each, with the same functions."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from sqlalchemy import URL, Connection, Engine

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.store import postgres, sqlite

T = TypeVar("T")


class Writer(Protocol):
    """Runs the writes of one process."""

    def submit(self, name: str, work: Callable[[Connection], T], /) -> Future[T]:
        """Queue `work`; the future resolves after its commit."""
        ...

    def write_alone(self, name: str, work: Callable[[Connection], T], /) -> Future[T] | None:
        """Commit `work` in this thread and return it done; None where it must be queued."""
        ...

    def close(self) -> None:
        """Commit what waits, then stop."""
        ...

    def pause(self) -> None:
        """Before a fork: leave nothing under way that must not cross it."""
        ...

    def resume(self) -> None:
        """Go on after `pause`, in the parent."""
        ...


class Dialect(Protocol):
    """What the modules `sqlite` and `postgres` have in common."""

    UPGRADES_ITSELF: bool
    """Whether opening a database brings its schema up: where nobody else runs another version."""

    def create(self, url: URL) -> Engine:
        """Return an engine for `url`. Raises `ConfigurationError`."""
        ...

    def writer(self, engine: Engine, check: Callable[[], None]) -> Writer:
        """Return what writes to the database for this process; `check` raises if it may not."""
        ...

    def begin_alone(self, conn: Connection) -> None:
        """Begin a transaction beside which nobody else changes the schema."""
        ...

    def own_schema(self, conn: Connection) -> str | None:
        """Return the name of the schema our tables are in, None where there are no schemas."""
        ...

    def not_ours(self, conn: Connection, tables: list[str]) -> str:
        """Return what to say where `tables` of somebody else stand in our place."""
        ...

    def identity(self, engine: Engine) -> object:
        """Return what tells the database from another one that is put in its place."""
        ...

    def leave_for_fork(self, engine: Engine) -> None:
        """Close what must not be open while the process forks."""
        ...

    def lock_until_the_end(self, conn: Connection, what: str) -> None:
        """Wait until no other transaction holds the lock on `what`; hold it until this one ends."""
        ...


_BACKENDS: dict[str, Dialect] = {"sqlite": sqlite, "postgresql": postgres}


def backend(of: URL | Engine | Connection) -> Dialect:
    """Return the module for the database of `of`. Raises `ConfigurationError`."""
    name = of.get_backend_name() if isinstance(of, URL) else of.dialect.name
    if name not in _BACKENDS:
        raise ConfigurationError(
            f"the store does not speak {name}: write sqlite:///refunds.db, or"
            " postgresql://user:password@host/database"
        )
    return _BACKENDS[name]
