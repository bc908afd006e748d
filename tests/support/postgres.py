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
_idle: list[str] = []
"""Migrated databases in which nothing is, that no test uses now."""
_made: dict[str, str] = {}
"""The schema of each migrated database, as it was when it was made."""
_SCHEMA = """
    SELECT coalesce(string_agg(it, chr(10) ORDER BY it), '') FROM (
        SELECT format('%s.%s %s %s', nspname, relname, relkind, attname) AS it
          FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace
          LEFT JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
         WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
        UNION ALL SELECT tgname || tgenabled::text FROM pg_trigger WHERE NOT tgisinternal
        UNION ALL SELECT proname || prosrc FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace
                   WHERE nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'
        UNION ALL SELECT nspname || coalesce(nspacl::text, '') FROM pg_namespace
        UNION ALL SELECT setconfig::text FROM pg_db_role_setting
                   JOIN pg_database d ON d.oid = setdatabase WHERE datname = current_database()
        UNION ALL SELECT version_num FROM dispatch_returns.alembic_version
        UNION ALL SELECT r::text FROM dispatch_returns.schema_revisions r) AS parts"""
_EMPTY = """
    SET session_replication_role = replica;  -- the append-only tables, too
    DO $$ DECLARE it record; BEGIN
        FOR it IN SELECT tablename FROM pg_tables WHERE schemaname = 'dispatch_returns'
                   AND tablename NOT IN ('alembic_version', 'schema_revisions') LOOP
            EXECUTE format('DELETE FROM dispatch_returns.%I', it.tablename);
        END LOOP;
        FOR it IN SELECT sequencename FROM pg_sequences WHERE schemaname = 'dispatch_returns'
                   AND last_value IS NOT NULL LOOP
            EXECUTE format('ALTER SEQUENCE dispatch_returns.%I RESTART', it.sequencename);
        END LOOP;
    END $$"""


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
    """Give the URL of a database in which nothing is, and take it back in the end.

    A migrated one is emptied and given again: that takes a fiftieth of the time of a new one. One
    in which a test has changed the schema is dropped, as is every other one.
    """
    need_server()
    reusable = migrated and not options
    name = _idle.pop() if reusable and _idle else f"dispatch_returns_{os.getpid()}_{next(_numbers)}"
    if name not in _made:
        template = _template() if migrated else "template0"
        administer(f"CREATE DATABASE {name} TEMPLATE {template} {options}")
    if reusable and name not in _made:
        _made[name] = _schema(name)
        atexit.register(_drop, name, os.getpid())
    try:
        yield url_of(name)
    finally:
        if not reusable:
            administer(f"DROP DATABASE {name} WITH (FORCE)")
        elif _emptied(name):
            _idle.append(name)


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


def _schema(name: str) -> str:
    ((found,),) = administer(_SCHEMA, url_of(name))
    return str(found)


def _emptied(name: str) -> bool:
    """Empty a database, if its schema is still as it was made; return whether it is."""
    administer(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
        f" WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    )
    if _schema(name) != _made[name]:
        return False
    administer(_EMPTY, url_of(name))
    return True


def _drop(name: str, owner: int) -> None:
    """A forked child leaves the database to its parent."""
    if os.getpid() == owner:
        administer(f"DROP DATABASE {name} WITH (FORCE)")
