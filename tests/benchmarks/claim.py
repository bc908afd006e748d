"""Claiming work from a store that has seen very much of it."""

from __future__ import annotations

import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from dispatch_returns.refunds import ledger
from dispatch_returns.store import Store, inbox
from tests.benchmarks.harness import Goal, Result, Side, interleave, repeated

FEW, MANY, WAITING = 1_000, 1_000_000, 500
NOW = datetime(2026, 1, 15, tzinfo=UTC)
LEASE = timedelta(0)  # a claimed row is due again at once, so every round finds the same work
HOW = (
    f"Claiming one event and one refund. In both stores {WAITING} of each are due; the others are"
    " done, or due later. Without the commit, whose cost depends on the disk."
)
# SQLite makes the rows itself: a hundred times as fast as sending them. Of a million refunds
# nine tenths are done, and a tenth is watched for a late failure.
ROWS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :rows) "
EVENTS = f"""
{ROWS} INSERT INTO inbox
  (source, event_id, type, workspace_id, ticket_id, body, received_at, state, tries, claims, due_at)
SELECT 'dispatch', 'evt_' || i, 'ticket.updated', 'ws_bench', 'tkt_' || i, zeroblob(1200), :past,
  CASE WHEN i <= :waiting THEN 'accepted' ELSE 'done' END, 0, 0,
  CASE WHEN i <= :waiting THEN :past END FROM n
"""
REFUNDS = f"""
{ROWS} INSERT INTO ledger
  (id, workspace_id, ticket_id, ordinal, adapter, state, generation, amount_minor, currency,
   decimals, entered_at, uncertain, adopted, created_at, updated_at, tries, claims, due_at)
SELECT 'rfd_' || i, 'ws_bench', 'tkt_' || i, 1, 'stripe',
  CASE WHEN i <= :waiting THEN 'requested' ELSE 'succeeded' END, 1, 14900, 'USD', 2, :past, 0, 0,
  :past, :past, 0, 0,
  CASE WHEN i <= :waiting THEN :past WHEN i % 10 = 0 THEN :later END FROM n
"""


@contextmanager
def filled(folder: Path, rows: int) -> Generator[Connection]:
    """A transaction in a store with so many events and refunds."""
    facts: dict[str, Any] = {"rows": rows, "waiting": WAITING}
    facts |= {"past": "2026-01-01 00:00:00.000000", "later": "2026-02-01 00:00:00.000000"}

    def fill(conn: Connection) -> None:
        for statement in (EVENTS, REFUNDS):
            conn.execute(text(statement), facts)

    with Store.open(f"sqlite:///{folder / f'{rows}.db'}") as store:
        store.write("benchmark.fill", fill)
        with store.read() as conn:
            conn.exec_driver_sql("BEGIN IMMEDIATE")
            yield conn
            conn.exec_driver_sql("ROLLBACK")


def claiming(conn: Connection, name: str) -> Side:
    def work() -> None:
        if not (inbox.claim(conn, NOW, LEASE, 1) and ledger.claim(conn, NOW, LEASE, 1)):
            raise RuntimeError("there is nothing to claim")

    return repeated(name, work)


def claim() -> Result:
    """Against a store that is nearly new."""
    few, many = f"with {FEW:,} rows in each", f"with {MANY:,} rows in each"
    with (
        tempfile.TemporaryDirectory() as folder,
        filled(Path(folder), MANY) as old,
        filled(Path(folder), FEW) as new,
    ):
        rounds = interleave(claiming(old, many), claiming(new, few), rounds=41)
    return Result("Claiming work", HOW, rounds, (Goal(1.3, few),))
