"""Databases on a PostgreSQL server: each test has its own, and only the first one is migrated.

The server is the one at its usual port, or in `TEST_POSTGRES_URL`.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from dispatch_returns.store import Store, database

SERVER = os.environ.get("TEST_POSTGRES_URL") or "postgresql://postgres@127.0.0.1:5432/postgres"
_numbers = count(1)


def need_server() -> None:
    """Skip the test where there is no server."""
    if (why := _why_not()) is not None:
        pytest.skip(f"needs a PostgreSQL server at {make_url(SERVER).host}: {why}")


@cache
def _why_not() -> str | None:
    try:
        psycopg.connect(SERVER, connect_timeout=5).close()
    except psycopg.OperationalError as error:
        return " ".join(str(error).split())
    return None


def administer(statement: str, url: str = SERVER) -> list[tuple[Any, ...]]:
    """Run one statement, outside any transaction; return its rows."""
    with psycopg.connect(url, autocommit=True) as conn:
        cursor = conn.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@contextmanager
def new_database(*, migrated: bool = True, options: str = "") -> Iterator[str]:
    """Give the URL of a new database, and drop it in the end."""
    need_server()
    template = _template() if migrated else "template0"
    name = f"dispatch_returns_{os.getpid()}_{next(_numbers)}"
    administer(f"CREATE DATABASE {name} TEMPLATE {template} {options}")
    try:
        yield url_of(name)
    finally:
        administer(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def copied(url: str) -> Iterator[str]:
    """Give the URL of a copy of a database to which nobody is connected."""
    name = f"dispatch_returns_{os.getpid()}_{next(_numbers)}"
    administer(f"CREATE DATABASE {name} TEMPLATE {make_url(url).database}")
    try:
        yield url_of(name)
    finally:
        administer(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def new_store() -> Iterator[Store]:
    """Give a store on a new database."""
    with new_database() as url, Store.open(url) as store:
        yield store


def url_of(name: str) -> str:
    """Return the URL of a database on the server."""
    return make_url(SERVER).set(database=name).render_as_string(hide_password=False)


@cache
def _template() -> str:
    """Migrate once: a copy takes a tenth of the time."""
    name = f"dispatch_returns_{os.getpid()}_template"
    administer(f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8'")
    atexit.register(_drop, name, os.getpid())
    database.upgrade(url_of(name))
    return name


def _drop(name: str, owner: int) -> None:
    """A forked child leaves the database to its parent."""
    if os.getpid() == owner:
        administer(f"DROP DATABASE {name} WITH (FORCE)")
