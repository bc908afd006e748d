"""What differs between the databases: one module for each, with the same functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from sqlalchemy import URL, Connection, Engine

from dispatch_returns.errors import ConfigurationError
from dispatch_returns.store import postgres, sqlite
from dispatch_returns.store.writer import Writer


class Dialect(Protocol):
    """What the modules `sqlite` and `postgres` have in common."""

    UPGRADES_ITSELF: bool
    """Whether opening a database upgrades its schema: only safe if no other version uses it."""

    def create(self, url: URL) -> Engine:
        """Return an engine for `url`. Raises `ConfigurationError`."""
        ...

    def writer(self, engine: Engine, check: Callable[[], None]) -> Writer:
        """Return this process's writer; `check` raises if nothing may be written."""
        ...

    def listen(self, engine: Engine, heard: Callable[[], None]) -> Callable[[], None]:
        """Call `heard` when another process has accepted something, until the result is called.

        Notifications may be lost, and SQLite has none.
        """
        ...

    def begin_alone(self, conn: Connection) -> None:
        """Begin a transaction during which no other process changes the schema."""
        ...

    def own_schema(self, conn: Connection) -> str | None:
        """Return the name of the schema that holds our tables, None if there are no schemas."""
        ...

    def not_ours(self, conn: Connection, tables: list[str]) -> str:
        """Return the message for a database that holds another program's `tables`."""
        ...

    def identity(self, engine: Engine) -> object:
        """Return what distinguishes the database from another one put in its place."""
        ...

    def leave_for_fork(self, engine: Engine) -> None:
        """Close what must not be open during a fork."""
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
            f"the store does not support {name}: use sqlite:///refunds.db, or"
            " postgresql://user:password@host/database"
        )
    return _BACKENDS[name]
