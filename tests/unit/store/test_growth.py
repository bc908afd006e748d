"""Nothing that a person, a probe or a worker does reads more as the books grow."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from dispatch_returns.connector.connector import look_of
from dispatch_returns.connector.health import Health
from dispatch_returns.money import Money
from dispatch_returns.refunds import attempts, external, ledger, owner_approvals
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns import label_records, receipts, records, service
from dispatch_returns.store import NewEvent, Store, audit_log, go_live, inbox, jobs, outbox
from tests.support import books, postgres
from tests.support.cli import run
from tests.support.stores import KINDS, open_store, opened

LOOK = look_of({None: None})
NOW = datetime(2030, 1, 1, tzinfo=UTC)
LEASE = timedelta(minutes=5)
MOST_ROWS = 600
"""A page has up to 500."""
DAY = timedelta(days=1)
A_ROW, A_TICKET, A_RETURN = "rfd_00000007", "tkt_00000007", "ret_00000007"
AMOUNT = Money(14900, "USD")

Act = Callable[[Connection], object]


class UndoError(Exception):
    """Rolls a write back, so that every test finds the same books."""


def refund(conn: Connection) -> ledger.Refund:
    found = ledger.get(conn, A_ROW)
    assert found is not None
    return found


def a_return(conn: Connection) -> records.Return:
    found = records.get(conn, A_RETURN)
    assert found is not None
    return found


def a_delivery(conn: Connection) -> bool:
    new = NewEvent("dispatch", "evt_new", "ticket.updated", "ws_1", A_TICKET, b"{}", NOW)
    return inbox.add(conn, new, NOW)


COMMANDS = [
    ("refunds", "list"),
    ("refunds", "list", "--state", "held"),
    ("refunds", "list", "--state", "failed"),
    ("refunds", "list", "--state", "succeeded"),
    ("refunds", "list", "--ticket", A_TICKET),
    ("refunds", "show", A_ROW),
    ("refunds", "show", A_TICKET),
    ("returns", "list"),
    ("returns", "list", "--step", "rejected"),
    ("returns", "list", "--step", "refunded"),
    ("returns", "show", A_TICKET),
    ("returns", "show", "R-00000007"),
    ("timeline", A_TICKET),
    ("labels", "show", A_TICKET),
    ("events", "list"),
    ("events", "list", "--state", "accepted"),
    ("events", "list", "--state", "unreadable"),
    ("events", "list", "--ticket", A_TICKET),
    ("events", "show", "evt_00000007"),
    ("audit-log",),
]
READS: dict[str, Act] = {
    "the gauges of the returns": records.count_open_by_step,
    "an event of a ticket": lambda conn: inbox.newest(conn, limit=50, ticket_id=A_TICKET),
    "whether an event waits": lambda conn: inbox.newest(
        conn, limit=1, state=inbox.EventState.ACCEPTED, ticket_id=A_TICKET
    ),
    "the look before the claims": lambda conn: conn.execute(
        look_of({None: None}), {"now": NOW}
    ).all(),
    "what doctor counts": lambda conn: (
        inbox.strangers(conn),
        inbox.count_unclaimed(conn, NOW),
        ledger.count_of_other_adapters(conn, ["fake"]),
        ledger.failing(conn, NOW),
        outbox.is_empty(conn),
    ),
    "a page of the ledger": lambda conn: ledger.page(conn, refund(conn), limit=50),
    "the ledger since yesterday": lambda conn: ledger.page(conn, None, since=NOW - DAY),
    "the cap of a day": lambda conn: ledger.sent_on(conn, "day 1", "USD", but=A_ROW),
    "refunds of a payment": lambda conn: (
        ledger.of_payments(conn, "fake", ["pi_00000007"]),
        ledger.alike(conn, "fake", ["pi_00000007"], AMOUNT, NOW - DAY),
        ledger.of_processor(conn, "fake", "re_00000007"),
        external.moved(conn, "fake", ["pi_00000007"], []),
    ),
    "what is about a refund": lambda conn: (
        attempts.of_refund(conn, A_ROW),
        attempts.tried_since(conn, refund(conn)),
        audit_log.of_refund(conn, A_ROW),
        outbox.of_refund(conn, A_ROW),
    ),
    "the last action on a switch": lambda conn: audit_log.newest(
        conn, limit=1, subject="order 00000007"
    ),
    "the order's other returns": lambda conn: (
        records.of_order(conn, a_return(conn)),
        records.of_customer(conn, a_return(conn)),
        receipts.of_others(conn, a_return(conn)),
    ),
    "whether a ticket was settled before": lambda conn: go_live.is_before(conn, "ws_1", A_TICKET),
    "whether a person was asked": lambda conn: owner_approvals.unanswered(conn, "ws_1", [A_TICKET]),
    "addresses to forget": lambda conn: ledger.with_old_address(conn, NOW, 500),
    "labels to thin": lambda conn: label_records.thinnable(conn, NOW, 500),
    "refunds that a restore leaves": lambda conn: ledger.in_state(conn, State.REQUESTED),
}
WRITES: dict[str, Act] = {
    "an accepted delivery": a_delivery,
    "claims": lambda conn: (
        inbox.claim(conn, NOW, LEASE, 8, "ws_1"),
        ledger.claim(conn, NOW, LEASE, 8, "ws_1"),
        records.claim(conn, NOW, LEASE, 8, "ws_1"),
        outbox.claim(conn, NOW, LEASE, 8, "ws_1", handlers=False),
        outbox.claim(conn, NOW, LEASE, 8, "ws_1", handlers=True),
        jobs.claim(conn, "reconcile", NOW, first=NOW, lease=LEASE),
    ),
    "thinning": lambda conn: inbox.thin(conn, before=NOW, after=0, limit=50),
}


def do(store: Store, name: str) -> None:
    """Do one of the things above."""
    if name in READS:
        with store.read() as conn:
            READS[name](conn)
    elif name in WRITES:

        def act(conn: Connection) -> None:
            WRITES[name](conn)
            raise UndoError

        with pytest.raises(UndoError):
            store.write("growth", act)
    elif name == "/health/lag":
        Health(store, frozenset, lambda: NOW).lag()
    elif name == "a receipt":
        lines = [{"sku": "A", "quantity": 1, "condition": "new"}]
        receive = service.receive
        receive(
            store,
            lambda: NOW,
            "R-00000007",
            lines=lines,
            condition=None,
            received_date=None,
            who="Ann",
            key="1",
        )
    else:
        url = store._engine.url.render_as_string(hide_password=False)
        said = run(*name.split(), environment={"DISPATCH_RETURNS_DATABASE_URL": url})
        assert said.code == 0, said.err


EVERYTHING = ["/health/lag", "a receipt", *READS, *WRITES, *(" ".join(words) for words in COMMANDS)]


@contextmanager
def steps_of_sqlite() -> Iterator[list[int]]:
    """Count the instructions of SQLite's machine, in tens."""
    counted = [0]

    def count() -> None:
        counted[0] += 1

    def begin(conn: Any, *_: object) -> None:
        conn.connection.set_progress_handler(count, 10)

    event.listen(Engine, "before_cursor_execute", begin)
    try:
        yield counted
    finally:
        event.remove(Engine, "before_cursor_execute", begin)


@pytest.fixture(scope="module")
def short_and_long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Store, Store]]:
    folder = tmp_path_factory.mktemp("books")
    with open_store(folder, "short.db") as short, open_store(folder, "long.db") as long:
        books.write(short, 400)
        books.write(long, 4000)
        yield short, long


@pytest.mark.parametrize("name", EVERYTHING)
def test_sqlite_does_as_much_in_long_books_as_in_short_ones(
    short_and_long: tuple[Store, Store], name: str
) -> None:
    counts: list[int] = []
    for store in short_and_long:
        with steps_of_sqlite() as counted:
            do(store, name)
        counts.append(counted[0])
    assert counts[1] <= counts[0] * 1.3 + 50, counts


@contextmanager
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Note every statement with its values."""
    noted: list[tuple[str, Any]] = []

    def note(_conn: object, _cursor: object, text: str, values: Any, *_: object) -> None:
        noted.append((text, values))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield noted
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def rows_read(plan: dict[str, Any]) -> float:
    """Add up the rows that a plan's scans have read, also those they left out."""
    below = sum(rows_read(part) for part in plan.get("Plans", ()))
    if plan.get("Relation Name") not in books.GROWING or plan["Node Type"] == "ModifyTable":
        return below
    dropped = plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
    return below + float((plan["Actual Rows"] + dropped) * plan["Actual Loops"])


@pytest.fixture(scope="module")
def on_postgres() -> Iterator[Store]:
    with postgres.new_store() as store:
        books.write(store, 4000)
        yield store


@pytest.mark.parametrize("name", EVERYTHING)
def test_postgresql_reads_few_rows_of_long_books(on_postgres: Store, name: str) -> None:
    with statements() as noted:
        do(on_postgres, name)
    asked = [it for it in noted if it[0].startswith(("SELECT", "UPDATE", "WITH", "DELETE"))]
    with on_postgres._engine.connect() as conn:
        conn.exec_driver_sql("BEGIN")
        for text, values in asked:
            explain = f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {text}"
            (plan,) = conn.exec_driver_sql(explain, values).scalar_one()
            read = rows_read(plan["Plan"])
            assert read <= MOST_ROWS, f"{read} rows: {text}\n{json.dumps(plan, indent=1)}"
        conn.exec_driver_sql("ROLLBACK")


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("kind", KINDS)
def test_a_million_returns_cost_50_milliseconds_at_most(kind: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    with opened(kind, tmp_path) as empty, opened(kind, tmp_path / "full") as full:
        books.write(empty, 20)
        books.write(full, 1_000_000)
        slow = {name: more for name in EVERYTHING if (more := costs(empty, full, name)) > _MOST}
    assert slow == {}


_MOST = 0.05


def costs(empty: Store, full: Store, name: str) -> float:
    """How many seconds more the same takes in full books; the best of ten, as others work too."""
    best = [math.inf, math.inf]
    for _ in range(10):
        for which, store in enumerate((empty, full)):
            begun = time.perf_counter()
            do(store, name)
            best[which] = min(best[which], time.perf_counter() - begun)
        if best[1] - best[0] < _MOST:
            break
    return best[1] - best[0]
