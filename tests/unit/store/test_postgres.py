"""What is PostgreSQL's own: its server, its schema, and the races that SQLite cannot have."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from decimal import Decimal
from typing import Any
from unittest import mock

import pytest
from psycopg.pq import TransactionStatus
from sqlalchemy import Connection, event
from sqlalchemy.exc import DBAPIError

from dispatch_returns.connector.workers import Queue, ThreadRunner
from dispatch_returns.errors import (
    ConfigurationError,
    LeaseLostError,
    MissingExtraError,
    StoreUnavailableError,
)
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.guard import GuardLimits
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.transitions import RefundAction, State
from dispatch_returns.returns import receipts
from dispatch_returns.store import Store, database, inbox, migrate, schema
from dispatch_returns.store import postgres as dialect
from tests.support import postgres
from tests.support.desk import Desk, facts, usd
from tests.support.races import SOON, inside, start, waits
from tests.support.relay import relay
from tests.support.store_contract import (
    LEASE,
    NOW,
    accepting,
    claim,
    create,
    enter,
    events,
    find,
    held_up,
    new_event,
    refund,
)

AWAY = "postgresql://127.0.0.1:1/shop"


@pytest.fixture
def url() -> Iterator[str]:
    with postgres.new_database() as url:
        yield url


@pytest.fixture
def empty() -> Iterator[str]:
    with postgres.new_database(migrated=False, options="ENCODING 'UTF8'") as url:
        yield url


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with Store.open(url) as store:
        yield store


@pytest.fixture
def other(url: str) -> Iterator[Store]:
    """The same database, as another machine sees it."""
    with Store.open(url) as store:
        yield store


# Which database.


def test_urls_are_taken_as_people_write_them(url: str) -> None:
    rest = url.partition("://")[2]
    for scheme in ("postgres", "postgresql", "postgresql+psycopg"):
        Store.open(f"{scheme}://{rest}").close()


def test_another_driver_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"psycopg2: write postgresql://"):
        Store.open("postgresql+psycopg2://localhost/shop")


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError, match=r"dispatch-returns\[postgres\]") as caught:
        Store.open("postgresql://localhost/shop")
    assert caught.value.extra == "postgres"


def test_a_password_is_not_shown(url: str) -> None:
    rest = url.partition("@")[2]
    with Store.open(f"postgresql://postgres:hunter2@{rest}") as store:
        assert "hunter2" not in repr(store)
        assert rest in repr(store)


def test_a_server_that_is_not_there_is_said_in_one_line() -> None:
    with pytest.raises(StoreUnavailableError, match="refused") as caught:
        Store.open(AWAY)
    assert "\n" not in str(caught.value)
    with pytest.raises(StoreUnavailableError, match="refused"):
        database.revision(AWAY)
    with pytest.raises(StoreUnavailableError, match="refused"):
        database.upgrade(AWAY)


def test_an_old_server_is_refused(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ((version,),) = postgres.administer("SHOW server_version_num")
    monkeypatch.setattr(dialect, "_OLDEST", int(version) // 10000)
    Store.open(url).close()
    monkeypatch.setattr(dialect, "_OLDEST", int(version) // 10000 + 1)
    with pytest.raises(ConfigurationError, match=r"is PostgreSQL \d+\.\d.*: use PostgreSQL \d+ or"):
        Store.open(url)


def test_servers_from_14_on_are_taken() -> None:
    assert dialect._OLDEST == 14


def test_an_encoding_that_cannot_hold_every_text_is_refused() -> None:
    latin = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
    with (
        postgres.new_database(migrated=False, options=latin) as url,
        pytest.raises(ConfigurationError, match=r"LATIN1.*UTF8"),
    ):
        database.upgrade(url)


def test_a_commit_is_on_disk_and_a_stopped_worker_keeps_no_lock(url: str) -> None:
    name = url.rpartition("/")[2]
    postgres.administer(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with Store.open(url) as store, store.read() as conn:
        shown = {
            setting: conn.exec_driver_sql(f"SHOW {setting}").scalar()
            for setting in (
                "synchronous_commit",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
                "search_path",
            )
        }
    assert shown == {
        "synchronous_commit": "on",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "10s",
        "search_path": "dispatch_returns",
    }


def test_a_stricter_durability_is_left(url: str) -> None:
    name = url.rpartition("/")[2]
    postgres.administer(f"ALTER DATABASE {name} SET synchronous_commit = remote_apply")
    with Store.open(url) as store, store.read() as conn:
        assert conn.exec_driver_sql("SHOW synchronous_commit").scalar() == "remote_apply"


def test_waiting_for_a_silent_network_is_bounded_unless_the_url_says_otherwise(url: str) -> None:
    with Store.open(f"{url}?connect_timeout=77") as store, store.read() as conn:
        driver: Any = conn.connection.driver_connection
        given = driver.info.get_parameters()
    assert (given["connect_timeout"], given["tcp_user_timeout"]) == ("77", "5000")


# The schema.


def test_an_empty_database_says_what_to_run_and_is_left_empty(empty: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is empty, .*: run dispatch-returns db upgrade$"):
        Store.open(empty)
    assert database.revision(empty) is None
    assert database.upgrade(empty)
    assert database.revision(empty) == schema.REVISION
    assert not database.upgrade(empty)
    Store.open(empty).close()


def test_an_older_schema_says_what_to_run(url: str) -> None:
    postgres.administer("UPDATE dispatch_returns.alembic_version SET version_num = '0000'", url)
    with pytest.raises(ConfigurationError, match=r"is 0000, .*: run dispatch-returns db upgrade$"):
        Store.open(url)


def test_a_newer_schema_is_refused(url: str) -> None:
    postgres.administer("UPDATE dispatch_returns.alembic_version SET version_num = '9999'", url)
    with pytest.raises(ConfigurationError, match=r"9999.*upgrade dispatch-returns"):
        database.upgrade(url)


def test_a_merchants_own_tables_are_left_alone(empty: str) -> None:
    """Theirs may have the same names: Alembic's own table has, in every shop that uses it."""
    postgres.administer("CREATE TABLE alembic_version (version_num text)", empty)
    postgres.administer("INSERT INTO alembic_version VALUES ('theirs')", empty)
    postgres.administer("CREATE TABLE inbox (x int)", empty)
    database.upgrade(empty)
    with Store.open(empty) as store:
        assert store.write("accept", accepting(1))
    assert postgres.administer("SELECT * FROM public.alembic_version", empty) == [("theirs",)]
    assert postgres.administer("SELECT * FROM public.inbox", empty) == []


def test_a_schema_can_be_chosen_in_the_url(empty: str) -> None:
    postgres.administer("CREATE SCHEMA shop", empty)
    chosen = f"{empty}?options=-csearch_path%3Dshop"
    database.upgrade(chosen)
    with Store.open(chosen) as store:
        assert store.write("accept", accepting(1))
    assert postgres.administer("SELECT count(*) FROM shop.inbox", empty) == [(1,)]


def test_threads_that_upgrade_at_once_make_one_schema(empty: str) -> None:
    together = threading.Barrier(4)

    def upgrade(_: int) -> bool:
        together.wait(SOON)
        return database.upgrade(empty)

    with ThreadPoolExecutor(4) as pool:
        assert sum(pool.map(upgrade, range(4))) == 1


def test_processes_that_upgrade_at_once_make_one_schema(empty: str) -> None:
    program = (
        "import sys; from dispatch_returns.store import database;"
        " print(database.upgrade(sys.argv[1]))"
    )
    running = [
        subprocess.Popen([sys.executable, "-c", program, empty], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert sorted(it.communicate(timeout=60)[0].strip() for it in running) == [
        "False",
        "False",
        "True",
    ]


def test_a_migration_that_fails_leaves_nothing_behind(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from alembic import command

    def fails(*given: Any) -> None:
        upgrade(*given)
        raise RuntimeError("as when the power goes")

    upgrade = command.upgrade
    monkeypatch.setattr(command, "upgrade", fails)
    with pytest.raises(RuntimeError):
        database.upgrade(empty)
    monkeypatch.undo()
    assert database.revision(empty) is None
    assert database.upgrade(empty)


def test_an_upgrade_waits_for_the_one_that_is_under_way(empty: str) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def slowly(conn: Connection) -> None:
        inside.set()
        assert go_on.wait(SOON)
        apply(conn)

    apply = migrate._apply_migrations
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(migrate, "_apply_migrations", slowly)
        first = pool.submit(database.upgrade, empty)
        assert inside.wait(SOON)
        patch.undo()
        second = pool.submit(database.upgrade, empty)
        waits(second)
        go_on.set()
        assert (first.result(SOON), second.result(SOON)) == (True, False)


@pytest.mark.parametrize("table", schema.APPEND_ONLY, ids=str)
def test_records_cannot_be_emptied(store: Store, table: Any) -> None:
    with pytest.raises(StoreUnavailableError, match="append-only"):
        store.write("tamper", lambda conn: conn.exec_driver_sql(f"TRUNCATE {table.name}"))


# Connections that break.


def kill_connections(url: str) -> None:
    """End every session in the database, as an administrator or a failing server does.

    It returns once they are gone.
    """
    name = url.rpartition("/")[2]
    postgres.administer(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = "
        f"'{name}' AND pid <> pg_backend_pid()"
    )


def test_a_write_whose_connection_is_killed_is_undone_and_the_next_one_works(
    store: Store, url: str
) -> None:
    def is_killed(conn: Connection) -> None:
        inbox.add(conn, new_event(1), NOW)
        kill_connections(url)
        inbox.add(conn, new_event(2), NOW)

    with pytest.raises(StoreUnavailableError, match="did not confirm the commit"):
        store.write("killed", is_killed)
    assert events(store) == []
    assert store.write("accept", accepting(1))


def test_a_write_that_fails_while_its_connection_breaks_is_undone(store: Store, url: str) -> None:
    def fails(conn: Connection) -> None:
        inbox.add(conn, new_event(1), NOW)
        kill_connections(url)
        raise KeyError("a mistake")

    with pytest.raises(StoreUnavailableError):
        store.write("killed", fails)
    assert events(store) == []


# How workers hear of work.


@pytest.fixture
def listening(store: Store) -> Iterator[Callable[[], bool]]:
    """Give a function that waits until a worker's process hears of something."""
    heard = threading.Semaphore(0)
    stop = store.listen(heard.release)
    assert heard.acquire(timeout=SOON), "the start counts as one: of what was accepted before"
    yield lambda: heard.acquire(timeout=SOON)
    stop()


def test_a_worker_hears_of_another_process_s_delivery(
    listening: Callable[[], bool], other: Store
) -> None:
    assert other.submit("accept", accepting(1)).result(SOON)
    assert listening()


def test_a_worker_whose_connection_was_killed_hears_again(
    listening: Callable[[], bool], other: Store, url: str
) -> None:
    kill_connections(url)
    assert listening(), "it may have missed something meanwhile"
    assert other.submit("accept", accepting(1)).result(SOON)
    assert listening()


def test_another_process_s_delivery_is_picked_up_at_once(store: Store, other: Store) -> None:
    done = threading.Event()

    def work(limit: int) -> list[inbox.StoredEvent]:
        return store.write("claim", lambda conn: inbox.claim(conn, NOW, LEASE, limit))

    queue: Queue[Any] = Queue("events", work, lambda _: done.set())
    runner = ThreadRunner([queue], 1, poll=3600, listen=store.listen)
    runner.start()
    try:
        assert other.submit("accept", accepting(1)).result(SOON)
        assert done.wait(SOON)
    finally:
        runner.stop(SOON)


# How deliveries are committed.


def trips(store: Store) -> list[str]:
    """Give a list that gets the first word of each statement, and every commit."""
    seen: list[str] = []

    @event.listens_for(store._engine, "before_cursor_execute")
    def note(_conn: object, _cursor: object, text: str, *_: object) -> None:
        seen.append("COMMIT" if text.endswith("COMMIT") else text.partition(" ")[0])

    @event.listens_for(store._engine, "commit")
    def note_commit(conn: Connection) -> None:
        driver: Any = conn.connection.driver_connection
        if driver.info.transaction_status == TransactionStatus.INTRANS:
            seen.append("COMMIT")

    return seen


def test_a_delivery_costs_three_round_trips(store: Store) -> None:
    assert store.submit("accept", accepting(1)).result(SOON)
    seen = trips(store)
    assert store.submit("accept", accepting(2)).result(SOON)
    assert seen == ["BEGIN", "INSERT", "COMMIT"]


def test_deliveries_that_wait_at_the_same_moment_share_a_commit(store: Store) -> None:
    seen = trips(store)
    with held_up(store):
        futures = [store.submit("accept", accepting(number)) for number in range(200)]
    assert all(future.result(SOON) for future in futures)
    assert (seen.count("BEGIN"), seen.count("COMMIT")) == (2, 2)


def test_deliveries_that_wait_at_the_same_moment_share_a_statement(store: Store) -> None:
    assert store.submit("accept", inbox.adding([new_event(1)], NOW)).result(SOON) == [True]
    seen = trips(store)
    with held_up(store):
        many = [store.submit("accept", inbox.adding([new_event(it)], NOW)) for it in range(99)]
        several = store.submit("accept", inbox.adding([new_event(it) for it in (98, 99)], NOW))
        other = store.submit("read", lambda conn: inbox.get(conn, 1))
    assert [it.result(SOON) for it in many] == [[it != 1] for it in range(99)]
    assert several.result(SOON) == [False, True], "98 came twice in one statement"
    assert other.result(SOON) is not None
    assert seen.count("INSERT") == 1
    assert len(events(store)) == 100


def test_a_delivery_that_cannot_be_kept_fails_alone(store: Store) -> None:
    broken = replace(new_event(2), type="a\0b")  # no text of PostgreSQL
    with held_up(store):
        good = [store.submit("accept", inbox.adding([new_event(it)], NOW)) for it in (1, 3)]
        bad = store.submit("accept", inbox.adding([broken], NOW))
    assert [it.result(SOON) for it in good] == [[True], [True]]
    assert isinstance(bad.exception(SOON), StoreUnavailableError)


def test_a_write_waits_for_its_own_locks_alone(store: Store) -> None:
    """What is submitted meanwhile is on disk before it."""
    with inside(store, accepting(1)) as under_way:
        assert store.submit("accept", accepting(2)).result(SOON)
        assert not under_way.done()


def test_what_a_failed_statement_took_with_it_is_not_acknowledged(store: Store) -> None:
    """COMMIT says nothing about it: PostgreSQL answers that it has rolled back."""

    def overlooks_it(conn: Connection) -> None:
        with contextlib.suppress(DBAPIError):
            conn.exec_driver_sql("SELECT 1 / 0")

    with held_up(store):
        good = store.submit("accept", accepting(1))
        bad = store.submit("accept", overlooks_it)
    assert good.result(SOON)
    with pytest.raises(StoreUnavailableError, match="not kept"):
        bad.result(SOON)
    with pytest.raises(StoreUnavailableError, match="not kept"):
        store.write("accept", overlooks_it)
    assert [it.event_id for it in events(store)] == ["evt_1"]


def test_a_used_connection_is_not_asked_whether_it_works(store: Store) -> None:
    events(store)
    seen = trips(store)
    asked: list[object] = []
    real = store._engine.dialect.do_ping

    def ask(connection: Any) -> bool:
        asked.append(connection)
        return real(connection)

    with mock.patch.object(store._engine.dialect, "do_ping", ask):
        for _ in range(3):
            events(store)
    assert (seen, asked) == (["SELECT"] * 3, [])


def test_a_pool_of_dead_connections_is_noticed_by_nobody(store: Store, url: str) -> None:
    together = threading.Barrier(6)

    def write(number: int) -> bool:
        def add(conn: Connection) -> bool:
            together.wait(SOON)  # so that each has a connection of its own
            return inbox.add(conn, new_event(number), NOW)

        return store.write("accept", add)

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(write, range(6)))
        kill_connections(url)
        assert all(pool.map(write, range(6, 12)))
        kill_connections(url)
        assert len(events(store)) == 12


def test_a_reader_whose_connection_is_killed_says_so(store: Store, url: str) -> None:
    def is_killed() -> None:
        with store.read() as conn:
            kill_connections(url)
            inbox.newest(conn, limit=1)

    with pytest.raises(StoreUnavailableError, match="cannot be used now"):
        is_killed()
    assert events(store) == []


def test_a_commit_whose_answer_is_lost_may_be_made_again(url: str) -> None:
    with relay(url) as lossy, Store.open(lossy.url) as store:
        assert store.write("accept", accepting(1))
        lossy.lose_next_commit()
        with pytest.raises(StoreUnavailableError, match="did not confirm the commit"):
            store.write("accept", accepting(2))
        assert lossy.lost == 1
        assert find(store, "evt_2") is not None, "it had committed, and nobody could know"
        assert store.write("accept", accepting(2)) is False
        assert len(events(store)) == 2


# Races.


def test_a_repeat_on_another_machine_waits_for_the_first_one(store: Store, other: Store) -> None:
    with inside(store, accepting(1)) as first:
        second = start(other, accepting(1))
        waits(second)
    assert (first.result(SOON), second.result(SOON)) == (True, False)


def test_a_repeat_is_kept_where_the_first_one_failed(store: Store, other: Store) -> None:
    def fails(conn: Connection) -> None:
        inbox.add(conn, new_event(1), NOW)
        inside_it.set()
        assert go_on.wait(SOON)
        raise KeyError("a mistake")

    inside_it, go_on = threading.Event(), threading.Event()
    first = start(store, fails)
    assert inside_it.wait(SOON)
    second = start(other, accepting(1))
    waits(second)
    go_on.set()
    with pytest.raises(KeyError):
        first.result(SOON)
    assert second.result(SOON) is True


def test_a_claim_waits_for_nobody_elses(store: Store, other: Store) -> None:
    for number in range(4):
        store.write("accept", accepting(number))
    with inside(store, lambda conn: inbox.claim(conn, NOW, LEASE, 2)) as first:
        second = start(other, lambda conn: inbox.claim(conn, NOW, LEASE, 9)).result(SOON)
    names = [event.event_id for claimed in (first.result(SOON), second) for event in claimed]
    assert sorted(names) == ["evt_0", "evt_1", "evt_2", "evt_3"]


def test_a_row_that_is_being_finished_is_not_claimed(store: Store, other: Store) -> None:
    store.write("accept", accepting(1))
    (slow,) = claim(store, NOW)
    with inside(store, lambda conn: inbox.finish(conn, slow, NOW)):
        assert claim(other, NOW + LEASE) == []
    assert claim(other, NOW + LEASE) == []


@pytest.mark.parametrize("join", ["nestloop", "hashjoin", "mergejoin"])
def test_a_claim_takes_no_more_than_asked_however_it_is_planned(store: Store, join: str) -> None:
    for number in range(40):
        store.write("accept", accepting(number))

    def claimed(conn: Connection) -> int:
        for other_join in {"nestloop", "hashjoin", "mergejoin"} - {join}:
            conn.exec_driver_sql(f"SET LOCAL enable_{other_join} = off")
        return len(inbox.claim(conn, NOW, LEASE, 3))

    assert [store.write("claim", claimed) for _ in range(3)] == [3, 3, 3]


@pytest.mark.parametrize(("table", "claims"), [("inbox", inbox.claim), ("ledger", ledger.claim)])
def test_a_claim_uses_the_index_of_what_waits(
    store: Store, table: str, claims: Callable[..., Any]
) -> None:
    seen: list[tuple[str, Any]] = []

    def note(_conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        seen.append((statement, parameters))

    event.listen(store._engine, "before_cursor_execute", note)
    store.write("claim", lambda conn: claims(conn, NOW, NOW - NOW, 10))
    (update,) = [it for it in seen if "UPDATE" in it[0] and "WITH due" in it[0]]

    def explained(conn: Connection) -> str:
        conn.exec_driver_sql("SET LOCAL enable_seqscan = off")  # the table is empty
        return "\n".join(row[0] for row in conn.exec_driver_sql(f"EXPLAIN {update[0]}", update[1]))

    plan = store.write("explain", explained)
    assert f"Scan using ix_{table}_due_at" in plan
    assert "Seq Scan" not in plan


def test_of_two_who_take_a_row_over_at_once_one_is_refused(store: Store, other: Store) -> None:
    create(store)
    (held,) = store.write("claim", lambda conn: ledger.claim(conn, NOW, LEASE, 9))

    def move(state: State, by: RefundAction) -> Callable[[Connection], Refund]:
        return lambda conn: ledger.move(conn, held, NOW, state, by=by)

    with inside(store, move(State.CANCELED, RefundAction.CANCEL)) as first:
        second = start(other, move(State.SENDING, RefundAction.CALL))
        waits(second)
    assert first.result(SOON).claims == held.claims + 1
    with pytest.raises(LeaseLostError):
        second.result(SOON)
    assert refund(store, held.id).state is State.CANCELED


def test_what_is_decided_about_a_row_is_decided_about_it_as_it_is(
    store: Store, other: Store
) -> None:
    row = create(store)
    assert row is not None
    hold = RefundAction.HOLD
    with inside(store, lambda conn: ledger.move(conn, row, NOW, State.HELD, by=hold)):
        found = start(other, lambda conn: ledger.lock(conn, row.id))
        waits(found)
    locked = found.result(SOON)
    assert locked is not None
    assert locked.state is State.HELD


def test_two_receipts_noted_at_once_have_two_numbers(store: Store, other: Store) -> None:
    row = store.write("enter", enter)

    def note(conn: Connection) -> int:
        return receipts.note(
            conn, row.id, NOW, lines=[], received_date="2024-01-15", who="Ann", amount=None
        ).ordinal

    with inside(store, note) as first:
        second = start(other, note)
        waits(second)
    assert (first.result(SOON), second.result(SOON)) == (1, 2)


# The refund service, on two machines.


@pytest.fixture
def desks(store: Store, other: Store) -> tuple[Desk, Desk]:
    here = Desk(store)
    return here, Desk(other, here.fake, clock=here.clock)


def enter_and_begin(desk: Desk, ticket: str = "tkt_1", **fields: Any) -> Callable[..., Any]:
    service = desk.service
    decision = service.intake.evaluate(facts(ticket, **fields))
    return lambda conn: service.enter(conn, decision)[1]


def test_two_workers_that_enter_the_same_intent_at_once_pay_once(desks: tuple[Desk, Desk]) -> None:
    here, there = desks
    with inside(here.store, enter_and_begin(here)) as first:
        second = start(there.store, enter_and_begin(there))
        waits(second)
    sending = first.result(SOON)
    assert sending is not None
    assert second.result(SOON) is None, "the second worker found the row, and left it alone"
    here.service.carry_out(sending)
    there.run(days=1)
    assert len(here.fake.requests) == 1
    assert here.only().state is State.SUCCEEDED


def test_two_workers_do_not_exceed_the_days_cap_together(desks: tuple[Desk, Desk]) -> None:
    limits = GuardLimits(max_per_day={"USD": Decimal(200)})
    here, there = desks
    for desk in desks:
        desk.restart(limits)
    with inside(here.store, enter_and_begin(here)) as first:
        second = start(there.store, enter_and_begin(there, "tkt_2", payment_intent="pi_2"))
        waits(second)
    assert first.result(SOON) is not None
    assert second.result(SOON) is None
    reasons = {row.ticket_id: row.reason for row in here.refunds()}
    assert reasons == {"tkt_1": None, "tkt_2": "over_day_cap"}


def test_caps_of_two_currencies_do_not_wait_for_each_other(store: Store, other: Store) -> None:
    with inside(store, lambda conn: ledger.count_alone(conn, "2024-01-15", "USD")):
        start(other, lambda conn: ledger.count_alone(conn, "2024-01-15", "EUR")).result(SOON)


def test_a_worker_that_was_only_slow_does_not_write_over_its_successor(
    desks: tuple[Desk, Desk],
) -> None:
    here, there = desks
    here.enter()
    (slow,) = here.service.claim(1)
    here.clock.turn(minutes=4)
    there.step()
    before = there.only()
    assert before.state is State.SUCCEEDED
    here.service.advance(slow)
    assert there.only() == before
    assert len(here.fake.refunds) == 1


def test_many_workers_on_two_machines_pay_each_ticket_once(desks: tuple[Desk, Desk]) -> None:
    here, _ = desks
    tickets = [f"tkt_{number}" for number in range(20)]
    for ticket in tickets:
        here.fake.add_payment(f"pi_{ticket}", usd("149.00"))

    def work(given: tuple[Desk, str]) -> None:
        desk, ticket = given
        sending = desk.store.write(
            "event.done", enter_and_begin(desk, ticket, payment_intent=f"pi_{ticket}")
        )
        if sending is not None:
            desk.service.carry_out(sending)
        desk.step()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [(desk, ticket) for ticket in tickets for desk in desks]))
    here.run(hours=1)
    assert len(here.fake.refunds) == len(tickets)
    assert {row.state for row in here.refunds()} == {State.SUCCEEDED}


# Forks.


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_child_and_parent_both_work_after_a_fork(store: Store) -> None:
    with inside(store, accepting(1)) as under_way:
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                assert store.write("accept", accepting(2))
                store.close()
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(pid, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert store.write("accept", accepting(3))
    assert under_way.result(SOON)
    assert {e.event_id for e in events(store)} == {"evt_1", "evt_2", "evt_3"}
