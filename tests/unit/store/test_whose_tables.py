"""A database, a schema or a file that is somebody else's is left as it was."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import stat
from pathlib import Path

import pytest

from dispatch_returns.connector.health import Health
from dispatch_returns.errors import ConfigurationError, StoreUnavailableError
from dispatch_returns.store import Store, database
from tests.support import postgres, stores
from tests.support.pooler import pooling
from tests.support.store_contract import accept, accepting
from tests.support.webhooks import clock


def shops_file(path: Path, journal: str) -> str:
    conn = sqlite3.connect(path)
    conn.execute(f"PRAGMA journal_mode={journal}")
    conn.execute("CREATE TABLE alembic_version (version_num TEXT)")
    conn.execute("CREATE TABLE orders (id INTEGER)")
    conn.commit()
    conn.close()
    return f"sqlite:///{path}"


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_a_file_with_the_tables_of_another_program_is_refused_and_left_as_it_is(
    tmp_path: Path, journal: str
) -> None:
    path = tmp_path / "shop.db"
    url = shops_file(path, journal)
    before = hashlib.sha256(path.read_bytes()).digest()
    for opens in (Store.open, database.upgrade):
        with pytest.raises(
            ConfigurationError, match=r"another program's tables \(alembic_version, orders\)"
        ):
            opens(url)
    assert hashlib.sha256(path.read_bytes()).digest() == before


def test_a_schema_with_the_tables_of_another_program_is_refused_and_left_as_it_is() -> None:
    with postgres.new_database(migrated=False) as url:
        postgres.administer("CREATE TABLE orders (id int)", url)
        postgres.administer("CREATE TABLE alembic_version (version_num text)", url)
        with pytest.raises(ConfigurationError, match=r"schema public .*alembic_version, orders"):
            database.upgrade(f"{url}?options=-csearch_path%3Dpublic")
        tables = "SELECT count(*) FROM pg_tables WHERE schemaname IN ('public', 'dispatch_returns')"
        assert postgres.administer(tables, url) == [(2,)]


def test_tables_of_a_shop_further_down_the_search_path_do_not_count() -> None:
    with postgres.new_database(migrated=False) as url:
        postgres.administer("CREATE TABLE alembic_version (version_num text)", url)
        postgres.administer("INSERT INTO alembic_version VALUES ('theirs')", url)
        postgres.administer("CREATE SCHEMA ours", url)
        chosen = f"{url}?options=-csearch_path%3Dours,public"
        assert database.revision(chosen) is None
        database.upgrade(chosen)
        with Store.open(chosen) as store:
            assert store.write("accept", accepting(1))
        assert postgres.administer("SELECT * FROM public.alembic_version", url) == [("theirs",)]
        assert postgres.administer("SELECT count(*) FROM ours.inbox", url) == [(1,)]


def test_a_pooler_in_transaction_mode_is_refused_and_keeps_nothing_of_ours() -> None:
    with postgres.new_database() as url, pooling(url, sessions=False) as pooled:
        for opens in (Store.open, database.upgrade):
            with pytest.raises(ConfigurationError, match="session mode"):
                opens(pooled)
        (path,) = postgres.administer("SHOW search_path", pooled)
        assert "dispatch_returns" not in path[0]


def test_a_pooler_in_session_mode_is_fine() -> None:
    with (
        postgres.new_database() as url,
        pooling(url, sessions=True) as pooled,
        Store.open(pooled) as store,
    ):
        assert store.write("accept", accepting(1))
        store.check_writable()


# The file under an open store.


def ready(store: Store) -> bool:
    return Health(store, frozenset, clock).ready().ok


def test_a_file_that_is_deleted_or_replaced_is_noticed_and_nothing_more_is_accepted(
    tmp_path: Path,
) -> None:
    with stores.open_store(tmp_path) as store:
        accept(store, 1)
        assert ready(store)
        (tmp_path / "returns.db").unlink()
        assert not ready(store)
        with pytest.raises(StoreUnavailableError, match="deleted or replaced"):
            accept(store, 2)
        stores.open_store(tmp_path).close()
        assert not ready(store)


def test_an_inbox_that_cannot_be_written_is_not_ready(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        conn = sqlite3.connect(tmp_path / "returns.db")
        conn.execute(
            "CREATE TRIGGER full BEFORE INSERT ON inbox BEGIN SELECT RAISE(ABORT, 'full'); END"
        )
        conn.close()
        assert not ready(store)


def test_the_probe_leaves_nothing_in_the_inbox(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        assert ready(store)
        with store.read() as conn:
            assert conn.exec_driver_sql("SELECT count(*) FROM inbox").scalar() == 0


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
def test_the_file_and_what_stands_beside_it_are_its_owners_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        with Store.open(f"sqlite:///{tmp_path}/returns.db") as store:
            accept(store, 1)
            rights = {it.name: stat.S_IMODE(it.stat().st_mode) for it in tmp_path.iterdir()}
    finally:
        os.umask(before)
    assert rights == dict.fromkeys(("returns.db", "returns.db-shm", "returns.db-wal"), 0o600)
