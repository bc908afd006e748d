"""What is SQLite's own: durability, locks, files that cannot be used, forks."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, create_engine, event, select
from sqlalchemy.dialects import sqlite as sqlite_dialect

from dispatch_returns.errors import ConfigurationError, StoreUnavailableError
from dispatch_returns.refunds import ledger
from dispatch_returns.store import Store, database, inbox, migrate, outbox, schema, sqlite
from dispatch_returns.store.database import revision
from dispatch_returns.store.writer import GroupWriter, _new_job
from tests.support.forks import forks, in_a_child
from tests.support.store_contract import NOW, accepting, claim, events, held_up, new_event
from tests.support.stores import open_store

SOON = 10.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as store:
        yield store


def statements(store: Store) -> list[str]:
    """Return a list that grows with what SQLite is told, by whomever."""
    seen: list[str] = []

    def listen(driver: sqlite3.Connection, *_: Any) -> None:
        driver.set_trace_callback(seen.append)

    event.listen(store._engine, "checkout", listen)
    return seen


# On disk.


def test_commits_wait_for_the_disk_and_readers_for_nobody(store: Store) -> None:
    with store.read() as conn:
        pragmas = {
            name: conn.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,  # FULL
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }


_KILLED = """
import os, signal, sys
from dispatch_returns.store import Store
from tests.support.store_contract import accepting
store = Store.open(sys.argv[1])
for number in range(100):
    store.write("accept", accepting(number))
    print(number, flush=True)
    if number == 20:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/returns.db"
    command = [sys.executable, "-c", _KILLED, url]
    run = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert run.returncode == -signal.SIGKILL
    acknowledged = {f"evt_{number}" for number in run.stdout.split()}
    assert len(acknowledged) == 21
    with Store.open(url) as store:
        assert {e.event_id for e in events(store)} == acknowledged


def test_what_waits_at_the_same_moment_shares_a_commit(store: Store) -> None:
    seen = statements(store)
    with held_up(store):
        futures = [store.submit("accept", accepting(number)) for number in range(200)]
    assert all(future.result(SOON) for future in futures)
    assert Counter(seen)["COMMIT"] == 2
    assert Counter(seen)["BEGIN IMMEDIATE"] == 2


def test_a_group_has_a_limit(store: Store) -> None:
    seen = statements(store)
    with held_up(store):
        futures = [store.submit("accept", accepting(number)) for number in range(600)]
    assert all(future.result(SOON) for future in futures)
    assert Counter(seen)["COMMIT"] == 4
    assert len(events(store)) == 600


def thread_of(_conn: Connection) -> str:
    return threading.current_thread().name


def test_who_finds_nobody_writing_commits_in_his_own_thread(store: Store) -> None:
    mine = threading.current_thread().name
    assert store.write("who", thread_of) == mine
    assert store.submit("who", thread_of).result(SOON) == "dispatch-returns-writer"
    with ThreadPoolExecutor(2) as others:
        with held_up(store):
            waiting = [others.submit(store.write, "who", thread_of) for _ in range(2)]
            with pytest.raises(TimeoutError):
                waiting[1].result(0.1)
        assert [it.result(SOON) for it in waiting] == ["dispatch-returns-writer"] * 2


def test_a_ctrl_c_in_the_middle_of_a_write_is_not_lost(store: Store) -> None:
    """It comes once, to whatever the main thread is doing: here, to a statement."""
    pressed: list[int] = []

    def interrupted(conn: Connection) -> None:
        inbox.add(conn, new_event(1), NOW)
        if not pressed:
            pressed.append(1)
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        store.write("accept", interrupted)
    assert events(store) == []
    assert store.write("accept", accepting(2))


def test_a_batch_that_waits_is_let_pass(store: Store) -> None:
    store.write("accept", accepting(1))
    writer = store._writer
    assert isinstance(writer, GroupWriter)
    queued = _new_job(thread_of)
    writer._queued.append(queued)
    assert writer.write_alone(thread_of) is None
    assert store.write("who", thread_of) == "dispatch-returns-writer"
    assert queued.future.result(SOON) == "dispatch-returns-writer"


def test_a_write_that_comes_after_the_end_writes_nothing(store: Store) -> None:
    store.write("accept", accepting(1))
    writer = store._writer
    assert writer is not None
    store.close()
    assert writer.write_alone(accepting(2)) is None


def test_who_writes_all_the_time_lets_another_process_in(store: Store, tmp_path: Path) -> None:
    """Another store stands for the process: it has its own connection and its own lock."""
    stop = threading.Event()

    def keep_writing(busy: Store) -> None:
        number = 0
        while not stop.is_set():
            busy.write("accept", accepting(number))
            number += 1

    taken: list[float] = []
    with Store.open(f"sqlite:///{tmp_path}/returns.db") as busy, ThreadPoolExecutor(1) as other:
        writing = other.submit(keep_writing, busy)
        try:
            for number in range(10**6, 10**6 + 30):
                start = time.monotonic()
                store.write("accept", accepting(number))
                taken.append(time.monotonic() - start)
        finally:
            stop.set()
        writing.result(SOON)
    assert max(taken) < 2.5


@pytest.mark.parametrize("microsecond", [0, 1, 120_000, 999_999])
def test_times_are_held_as_sqlalchemy_writes_them(store: Store, microsecond: int) -> None:
    """The migrations, and whoever looks with another program, take them for its own."""
    at = datetime(987, 1, 2, 3, 4, 5, microsecond, tzinfo=timezone(timedelta(hours=2)))
    write = sqlite_dialect.DATETIME().bind_processor(sqlite_dialect.dialect())  # type: ignore[no-untyped-call]
    assert write is not None
    store.write("accept", accepting(1, at))
    with store.read() as conn:
        held = conn.exec_driver_sql("SELECT received_at FROM inbox").scalar_one()
    assert held == write(at.astimezone(UTC).replace(tzinfo=None))
    assert [it.received_at for it in events(store)] == [at]


# A commit that fails.


def break_the_commit(conn: Connection) -> None:
    """Leave a row without its refund, which SQLite finds out when it commits."""
    conn.exec_driver_sql("PRAGMA defer_foreign_keys=ON")
    conn.execute(schema.acts.insert().values(refund_id="rfd_0", act="retry", who="Ann", at=NOW))


def test_a_commit_that_fails_fails_for_everyone_and_writes_nothing(store: Store) -> None:
    with held_up(store):
        futures: list[Future[Any]] = [
            store.submit("good", accepting(1)),
            store.submit("broken", break_the_commit),
            store.submit("good", accepting(2)),
        ]
    for future in futures:
        with pytest.raises(StoreUnavailableError, match="did not confirm the commit: FOREIGN KEY"):
            future.result(SOON)
    assert events(store) == []
    assert store.write("good", accepting(3))


def test_a_transaction_that_sqlite_gave_up_is_done_again_by_halves(store: Store) -> None:
    def gives_up(conn: Connection) -> None:
        conn.exec_driver_sql("ROLLBACK")
        raise KeyError("as after a full disk, which ends the transaction")

    with held_up(store):
        futures: list[Future[Any]] = [
            store.submit("good", accepting(1)),
            store.submit("broken", gives_up),
        ]
    assert futures[0].result(SOON)
    with pytest.raises(KeyError, match="as after a full disk"):
        futures[1].result(SOON)
    assert len(events(store)) == 1
    assert store.write("good", accepting(2))


def test_no_free_connection_is_an_unavailable_store(store: Store) -> None:
    from sqlalchemy.exc import TimeoutError as PoolTimeout

    def nothing_free() -> None:
        raise PoolTimeout("QueuePool limit reached")

    connect, store._engine.connect = store._engine.connect, nothing_free  # type: ignore[assignment, method-assign]
    with pytest.raises(StoreUnavailableError, match="QueuePool limit"):
        store.write("accept", accepting(1))
    with pytest.raises(StoreUnavailableError, match="QueuePool limit"), store.read():
        pass
    store._engine.connect = connect  # type: ignore[method-assign]


# Locks.


def test_a_locked_database_is_unavailable_in_bounded_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sqlite._BUSY_SECONDS < 8, "the receiver must answer before its sender gives up"
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.3)
    with open_store(tmp_path) as store:
        other = sqlite3.connect(tmp_path / "returns.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        begun = time.monotonic()
        with pytest.raises(StoreUnavailableError, match="database is locked"):
            store.write("accept", accepting(1))
        assert 0.2 < time.monotonic() - begun < 3
        assert events(store) == [], "readers do not wait"
        other.execute("ROLLBACK")
        other.close()
        assert store.write("accept", accepting(1))


def test_a_commit_waits_for_another_process(store: Store, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "returns.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    future = store.submit("accept", accepting(1))
    with pytest.raises(TimeoutError):
        future.result(0.2)
    other.execute("COMMIT")
    other.close()
    assert future.result(SOON)


# Files that cannot be used.


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "not a url", "mysql://h/d"]
)
def test_a_url_that_cannot_work_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"sqlite:///refunds.db|name a file"):
        Store.open(url)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="unable to open database file"):
        Store.open(f"sqlite:///{tmp_path}/missing/returns.db")


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match="unable to open database file"):
        Store.open(f"sqlite:///{tmp_path}")


def test_another_file_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database, but long enough to look at" * 30)
    with pytest.raises(StoreUnavailableError, match="file is not a database"):
        Store.open(f"sqlite:///{tmp_path}/notes.txt")

    with pytest.raises(StoreUnavailableError, match="file is not a database"):
        revision(f"sqlite:///{tmp_path}/notes.txt")


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    read_only = f"sqlite:///file:{tmp_path}/returns.db?mode=ro&uri=true"
    with Store.open(read_only) as store, pytest.raises(StoreUnavailableError, match="readonly"):
        store.check_writable()


def test_who_only_looks_makes_no_file(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/typo.db"
    with pytest.raises(StoreUnavailableError, match="there is no database at"):
        Store.open(url, create=False)
    with pytest.raises(StoreUnavailableError, match="there is no database at"):
        revision(url)
    assert list(tmp_path.iterdir()) == []
    open_store(tmp_path, "typo.db").close()
    Store.open(url, create=False).close()


def test_a_repr_shows_where_it_is(store: Store, tmp_path: Path) -> None:
    assert repr(store) == f"Store('sqlite:///{tmp_path}/returns.db')"


# Migrations.


def test_the_revision_is_that_of_the_newest_script() -> None:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    folder = Path(migrate.__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder))
    assert ScriptDirectory.from_config(config).get_heads() == [schema.REVISION]


def described(engine: Engine) -> set[str]:
    """What SQLite says of each column, constraint and index, in no particular order."""
    with engine.connect() as conn:
        found = conn.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND type <> 'trigger'"
        )
        # A table that a migration has copied is named in quotes, and a column that was added later
        # stands behind a comma, without a line of its own.
        plain = [sql.replace('"', "") for (sql,) in found]
    parts = re.compile(r",\s(?![^(]*\))|\n")
    lines = {line.strip(" ,\t") for sql in plain for line in parts.split(sql)}
    return {line for line in lines if "alembic_version" not in line and "version_num" not in line}


def test_the_migrations_make_the_same_tables_and_indexes_as_the_schema(
    store: Store, tmp_path: Path
) -> None:
    other = create_engine(f"sqlite:///{tmp_path}/other.db")
    schema.metadata.create_all(other)
    assert described(store._engine) == described(other)
    other.dispose()


def test_an_empty_file_is_migrated_once(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    url = f"sqlite:///{path}"
    assert revision(url) is None
    with Store.open(url) as store:
        assert not migrate.upgrade_if_needed(store._engine)
    assert revision(url) == schema.REVISION


def test_a_migration_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import command

    def fails(*given: Any) -> None:
        upgrade(*given)
        raise sqlite3.OperationalError("as when the power goes")

    upgrade = command.upgrade
    monkeypatch.setattr(command, "upgrade", fails)
    url = f"sqlite:///{tmp_path}/returns.db"
    with pytest.raises(sqlite3.OperationalError):
        Store.open(url)
    monkeypatch.undo()
    assert revision(url) is None
    Store.open(url).close()


def test_a_newer_databases_schema_is_refused(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    url = f"sqlite:///{tmp_path}/returns.db"
    with sqlite3.connect(tmp_path / "returns.db") as conn:
        conn.execute("UPDATE alembic_version SET version_num = '9999'")
    conn.close()
    with pytest.raises(ConfigurationError, match=r"9999.*upgrade dispatch-returns"):
        Store.open(url)
    assert revision(url) == "9999"


def _open_at_once(url: str, together: Any, said: Any) -> None:
    together.wait(SOON)
    try:
        with Store.open(url) as store:
            store.check_writable()
    except BaseException as error:  # noqa: BLE001 - the parent reports it
        said.put(repr(error))
    else:
        said.put("ok")


def test_opening_waits_for_another_process_that_has_just_made_the_file(tmp_path: Path) -> None:
    # SQLite itself answers at once that the file is locked when WAL is to be turned on.
    path = tmp_path / "new.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA user_version = 1")
    other.execute("BEGIN IMMEDIATE")
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(Store.open, f"sqlite:///{path}")
        with pytest.raises(TimeoutError):
            opening.result(0.2)
        other.execute("COMMIT")
        other.close()
        opening.result(SOON).close()


def test_opening_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_SECONDS", 0.1)
    path = tmp_path / "new.db"
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA user_version = 1")
    other.execute("BEGIN IMMEDIATE")
    begun = time.monotonic()
    with pytest.raises(StoreUnavailableError, match="database is locked"):
        Store.open(f"sqlite:///{path}")
    assert time.monotonic() - begun < SOON
    other.close()


@forks
@pytest.mark.parametrize("attempt", range(4))
def test_processes_that_open_a_new_file_at_once_make_one_schema(
    tmp_path: Path, attempt: int
) -> None:
    context = multiprocessing.get_context("fork")
    together, said = context.Barrier(4), context.SimpleQueue()
    given = (f"sqlite:///{tmp_path}/new.db", together, said)
    processes = [context.Process(target=_open_at_once, args=given) for _ in range(4)]
    for process in processes:
        process.start()
    assert [said.get() for _ in processes] == ["ok"] * 4
    for process in processes:
        process.join(SOON)


def test_threads_that_open_new_files_at_once_make_each_its_schema(tmp_path: Path) -> None:
    together = threading.Barrier(6)

    def open_one(number: int) -> str | None:
        together.wait(SOON)
        url = f"sqlite:///{tmp_path}/{number % 3}.db"
        with Store.open(url):
            return revision(url)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(open_one, range(6))) == [schema.REVISION] * 6


# Forks.


@forks
def test_child_and_parent_both_work_after_a_fork(store: Store) -> None:
    store.write("accept", accepting(1))

    def child() -> None:
        assert store.write("accept", accepting(2))
        assert len(events(store)) == 2
        store.close()

    assert in_a_child(child) == 0
    assert store.write("accept", accepting(3))
    assert {e.event_id for e in events(store)} == {"evt_1", "evt_2", "evt_3"}


@forks
def test_a_store_that_was_not_used_yet_can_be_forked(store: Store) -> None:
    assert in_a_child(lambda: store.write("accept", accepting(1))) == 0
    assert len(events(store)) == 1


@forks
def test_a_fork_in_the_midst_of_commits_takes_no_lock_along(store: Store) -> None:
    stop = threading.Event()

    def keep_writing() -> int:
        number = 0
        while not stop.is_set():
            store.write("accept", accepting(number))
            number += 1
        return number

    def child() -> None:
        with ThreadPoolExecutor(4) as pool:
            numbers = range(10**6 * os.getpid(), 10**6 * os.getpid() + 12)
            assert all(pool.map(lambda n: store.write("accept", accepting(n)), numbers))

    with ThreadPoolExecutor(1) as pool:
        parent = pool.submit(keep_writing)
        try:
            codes = [in_a_child(child) for _ in range(6)]
        finally:
            stop.set()
    assert codes == [0] * 6
    with store.read() as conn:
        rows = conn.exec_driver_sql("SELECT count(*) FROM inbox").scalar()
        assert rows == parent.result(SOON) + 72
        assert conn.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"


@forks
def test_both_sides_of_a_fork_begin_anew(store: Store) -> None:
    """What `os.fork` calls, called by hand: a child's coverage is not seen."""
    store.write("accept", accepting(1))
    writer = store._writer
    database.before_fork()
    late = ThreadPoolExecutor(1)
    waiting = late.submit(store.write, "late", accepting(2))
    with pytest.raises(TimeoutError):
        waiting.result(0.1)
    database.after_fork_in_parent()
    assert waiting.result(SOON)
    late.shutdown()
    assert store._writer is writer
    database.before_fork()
    database.after_fork_in_child()
    assert store._writer is None
    assert store.write("accept", accepting(3))
    assert store._writer is not writer
    assert writer is not None
    writer.resume()  # it is of the "parent", whose thread has come along here
    writer.close()


@forks
def test_a_store_that_is_closed_does_not_hinder_a_fork(store: Store) -> None:
    store.write("accept", accepting(1))
    store.close()
    assert in_a_child(lambda: None) == 0


# Speed that does not depend on what is finished.


@pytest.mark.parametrize(
    ("table", "claims"),
    [("inbox", inbox.claim), ("ledger", ledger.claim), ("outbox", outbox.claim)],
)
def test_a_claim_uses_the_index_of_what_waits(
    store: Store, table: str, claims: Callable[..., Any]
) -> None:
    seen: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    event.listen(store._engine, "before_cursor_execute", note)
    store.write("claim", lambda conn: claims(conn, NOW, NOW - NOW, 10))
    (update,) = [it for it in seen if it[0].startswith("UPDATE")]
    with store.read() as conn:
        plan = conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {update[0]}", update[1]).all()
    steps = " | ".join(row[-1] for row in plan)
    assert f"SEARCH {table} USING" in steps
    assert f"ix_{table}_due_at (due_at<?)" in steps
    assert "SCAN" not in steps
    assert "TEMP B-TREE" not in steps


def test_what_is_finished_is_not_in_that_index(store: Store) -> None:
    store.write("accept", accepting(1))
    (claimed,) = claim(store, NOW)
    store.write("done", lambda conn: inbox.finish(conn, claimed, NOW))
    with store.read() as conn:
        sql = conn.exec_driver_sql(
            "SELECT sql FROM sqlite_master WHERE name = 'ix_inbox_due_at'"
        ).scalar_one()
        assert sql.endswith("WHERE due_at IS NOT NULL")
        assert conn.execute(select(schema.inbox.c.due_at)).scalar_one() is None
