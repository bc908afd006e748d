"""What a person and a probe wait for, in books of a thousand returns and of a million."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path

from dispatch_returns.connector.health import Health
from dispatch_returns.refunds import ledger
from dispatch_returns.returns import records
from dispatch_returns.returns.timeline.story import story_of
from dispatch_returns.store import Store, inbox
from tests.benchmarks.harness import Goal, Result, Side, interleave, repeated
from tests.support import books

FEW, MANY = 1_000, 1_000_000
NOW = datetime(2030, 1, 1, tzinfo=UTC)
HOW = (
    "The lists of refunds, returns and events (20 of each), finding a return by the number on its"
    " label, its timeline, and `/health/lag`, one after the other, on SQLite. In both books 20"
    " returns are not over."
)


def looking(store: Store, name: str) -> Side:
    def work() -> None:
        with store.read() as conn:
            ledger.newest(conn, limit=20)
            records.newest(conn, limit=20)
            inbox.newest(conn, limit=20)
            (row,) = records.matching(conn, "R-00000007", limit=2)
            story_of(conn, row)
        if not Health(store, frozenset, lambda: NOW).lag(1e12).ok:
            raise RuntimeError("the probe is not ok")

    return repeated(name, work)


def growth() -> Result:
    """Against books that are nearly new."""
    few, many = f"with {FEW:,} returns", f"with {MANY:,} returns"
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(f"sqlite:///{Path(folder) / 'old.db'}") as old,
        Store.open(f"sqlite:///{Path(folder) / 'new.db'}") as new,
    ):
        books.write(old, MANY)
        books.write(new, FEW)
        rounds = interleave(looking(old, many), looking(new, few), rounds=41)
    return Result("Looking at long books", HOW, rounds, (Goal(1.5, few), Goal(0.05)))
