"""What the three queues share: claim, finish, postpone. See `schema` for the idea."""

from __future__ import annotations

import functools
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Insert, RowMapping, Table, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from dispatch_returns.errors import LeaseLostError


def backoff(
    tries: int,
    jitter: float,
    *,
    first: timedelta = timedelta(seconds=5),
    longest: timedelta = timedelta(hours=1),
) -> timedelta:
    """Return how long to wait after the failure number `tries` (from 0), doubling each time.

    `jitter` (0 to 1) takes up to half off, so that what failed together does not come back
    together.
    """
    doubled: int = 2 ** min(tries, 30)
    return min(longest, first * doubled) * (1 - jitter / 2)


def insert_new(conn: Connection, table: Table, values: dict[str, Any]) -> bool:
    """Insert a row unless one with the same unique key is there; return whether it was new."""
    return conn.execute(_insert(table, conn.dialect.name), values).rowcount == 1


@functools.cache
def _insert(table: Table, dialect: str) -> Insert:
    """Built once: on the way of every delivery, building it costs more than running it."""
    if dialect == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


def append(conn: Connection, table: Table, values: dict[str, Any]) -> None:
    """Insert a row into an append-only table."""
    conn.execute(insert(table).values(values))


def claim(
    conn: Connection, table: Table, *, now: datetime, lease: timedelta, limit: int
) -> list[RowMapping]:
    """Take up to `limit` rows that are due, oldest first, until `now` + `lease`."""
    due = (
        select(table.c.id)
        .where(table.c.due_at <= now)
        .order_by(table.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)  # SQLite has one writer and ignores it
    )
    taken = (
        update(table)
        .where(table.c.id.in_(due))
        .values(claims=table.c.claims + 1, due_at=now + lease)
        .returning(*table.c)
    )
    return list(conn.execute(taken).mappings())


def change(conn: Connection, table: Table, row_id: Any, fence: int, **values: Any) -> RowMapping:
    """Change a claimed row and return it; `fence` is the ``claims`` that came with the claim.

    Raises `LeaseLostError` when somebody has claimed the row since.
    """
    statement = (
        update(table)
        .where(table.c.id == row_id, table.c.claims == fence)
        .values(**values)
        .returning(*table.c)
    )
    row = conn.execute(statement).mappings().one_or_none()
    if row is None:
        raise LeaseLostError(f"{table.name} row {row_id} was claimed by another worker")
    return row
