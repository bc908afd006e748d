"""What the three queues share: claim, finish, postpone. See `schema` for the idea.

The statements are built once: building one takes longer than running it.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Connection,
    Insert,
    RowMapping,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    exists,
    insert,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from dispatch_returns.errors import LeaseLostError
from dispatch_returns.store import installation
from dispatch_returns.store.rows import insert_unless_there
from dispatch_returns.store.schema import inbox


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a queue's rows, for workers of their own: those of `names`, or all others."""

    names: tuple[str, ...]
    others: bool = False

    def of(self, column: ColumnElement[str] | Column[str]) -> ColumnElement[bool]:
        """Return the condition for these rows, by the `column` that holds the name."""
        return column.not_in(self.names) if self.others else column.in_(self.names)


LONGEST_RETRY = timedelta(hours=1)
"""How long work that fails waits at most before the next try."""


def backoff(
    tries: int,
    jitter: float,
    *,
    first: timedelta = timedelta(seconds=5),
    longest: timedelta = LONGEST_RETRY,
) -> timedelta:
    """Return how long to wait after the failure number `tries` (from 0), doubling each time.

    `jitter` (0 to 1) takes up to half off, so that what failed together does not come back
    together.
    """
    doubled: int = 2 ** min(tries, 30)
    return min(longest, first * doubled) * (1 - jitter / 2)


def failing_since(
    since: datetime | None, before: str | None, error: str, now: datetime
) -> datetime:
    """Return since when a row fails as `error` says: its kind stands before the first colon.

    `since` and `before` are what the row says of the failure before: `now` is returned where that
    one was of another kind.
    """
    same = before is not None and before.partition(":")[0] == error.partition(":")[0]
    return since if since is not None and same else now


def insert_new(
    conn: Connection, table: Table, values: dict[str, Any], *, key: tuple[str, ...] | None = None
) -> bool:
    """Insert a row unless one with the same unique key is there; return whether it was new.

    With `key`, the columns of one unique key, a clash with another one is SQLAlchemy's
    `IntegrityError`.
    """
    return conn.execute(insert_unless_there(table, conn.dialect.name, key), values).rowcount == 1


def insert_all_new(conn: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    """Like `insert_new`, for each of `rows`, which must not be empty."""
    conn.execute(insert_unless_there(table, conn.dialect.name), rows)


def append(conn: Connection, table: Table, values: dict[str, Any]) -> None:
    """Insert a row into an append-only table."""
    conn.execute(_append(table), values)


@functools.cache
def _append(table: Table) -> Insert:
    return insert(table).inline()


def look(names: Mapping[str, tuple[Table, ColumnElement[bool] | None]]) -> CompoundSelect[str]:
    """Return the statement that finds those of `names` whose table has a row due at ``now``.

    `names` gives for each its table, and which rows are meant if not all are. A look at all queues
    costs less than the claim of one that has nothing.
    """
    found: list[Select[str]] = []
    for name, (table, only) in names.items():
        due = exists().where(table.c.due_at <= bindparam("now", type_=table.c.due_at.type))
        found.append(select(literal(name)).where(due if only is None else due.where(only)))
    return union_all(*found)


def claim(
    conn: Connection,
    table: Table,
    *,
    now: datetime,
    lease: timedelta,
    limit: int,
    only: ColumnElement[bool] | None = None,
    workspace: str | None = None,
) -> list[RowMapping]:
    """Take the oldest rows that are due, up to `limit` of them, until `now` + `lease`.

    `only` says which, where not all are meant: the same object each time. With a `workspace`,
    those of another one are left alone, for its own workers.
    """
    values: dict[str, Any] = {"now": now, "until": now + lease, "most": limit}
    if workspace is not None:
        values["workspace"] = workspace
    statement = _claim(table, conn.dialect.name, only, of_one=workspace is not None)
    return list(conn.execute(statement, values).mappings())


@functools.cache
def _claim(
    table: Table, dialect: str, only: ColumnElement[bool] | None, *, of_one: bool
) -> ReturningUpdate[Any]:
    due = (
        select(table.c.id)
        .where(table.c.due_at <= bindparam("now"), *(() if only is None else (only,)))
        .order_by(table.c.due_at)
        .limit(bindparam("most"))
    )
    if of_one and table is inbox:
        due = due.where(installation.not_of_another(bindparam("workspace")))
    elif of_one:
        # As an expression, which no index serves: SQLite has no statistics, and would rather read
        # the whole workspace than what is due.
        due = due.where(table.c.workspace_id + "" == bindparam("workspace"))
    if dialect == "postgresql":
        # Its planner may repeat a subquery after IN, and would then claim more than `limit`.
        once = due.with_for_update(skip_locked=True).cte("due").prefix_with("MATERIALIZED")
        chosen = table.c.id == once.c.id
    else:
        chosen = table.c.id.in_(due)
    return (
        update(table)
        .where(chosen)
        .values(claims=table.c.claims + 1, due_at=bindparam("until"))
        .returning(*table.c)
    )


def matching(
    conn: Connection, table: Table, conditions: Iterable[ColumnElement[bool]], limit: int
) -> list[RowMapping]:
    """Return up to `limit` rows that meet any of `conditions`, by id.

    Each is a query of its own, with its own index: with OR, a database may read the whole table.
    """
    query = select(table).order_by(table.c.id).limit(limit)
    found = {
        row["id"]: row
        for which in conditions
        for row in conn.execute(query.where(which)).mappings()
    }
    return [found[row_id] for row_id in sorted(found)][:limit]


def id_begins(table: Table, text: str) -> ColumnElement[bool]:
    """Return the condition that a row's id, like ``rfd_4f2a``, begins with `text`.

    No index of either database serves LIKE here, so it first narrows the search to a range. All
    our ids are small letters, digits and ``_``, which every collation sorts before ``z``.
    """
    begins: ColumnElement[bool] = table.c.id.startswith(text, autoescape=True)
    return and_(table.c.id >= text, table.c.id < text + "z", begins)


def is_later(
    conn: Connection, table: Table, latest: datetime, only: ColumnElement[bool] | None
) -> bool:
    """Return whether a row is due after `latest`; `only` says of which."""
    query = select(table.c.id).where(table.c.due_at > latest).limit(1)
    return conn.execute(query if only is None else query.where(only)).first() is not None


def bring_forward(
    conn: Connection,
    table: Table,
    latest: datetime,
    now: datetime,
    only: ColumnElement[bool] | None,
) -> int:
    """Make due `now` what is due after `latest`; return how many rows that were."""
    statement = update(table).where(table.c.due_at > latest).values(due_at=now)
    return conn.execute(statement if only is None else statement.where(only)).rowcount


def change(conn: Connection, table: Table, row_id: Any, fence: int, **values: Any) -> None:
    """Change a claimed row; `fence` is the ``claims`` that came with the claim.

    Raises `LeaseLostError` if another worker has claimed the row since.
    """
    statement = _change(table, tuple(values))
    if conn.execute(statement, _given(row_id, fence, values)).rowcount == 0:
        raise _lost(table, row_id)


def change_and_get(
    conn: Connection, table: Table, row_id: Any, fence: int, **values: Any
) -> RowMapping:
    """Like `change`, and return the row as it is afterwards."""
    statement = _change_and_get(table, tuple(values))
    row = conn.execute(statement, _given(row_id, fence, values)).mappings().one_or_none()
    if row is None:
        raise _lost(table, row_id)
    return row


def _given(row_id: Any, fence: int, values: dict[str, Any]) -> dict[str, Any]:
    return {f"new_{name}": value for name, value in values.items()} | {
        "row": row_id,
        "fence": fence,
    }


def _lost(table: Table, row_id: Any) -> LeaseLostError:
    return LeaseLostError(f"{table.name} row {row_id} was claimed by another worker")


@functools.cache
def _change(table: Table, names: tuple[str, ...]) -> Update:
    return (
        update(table)
        .where(table.c.id == bindparam("row"), table.c.claims == bindparam("fence"))
        .values({name: bindparam(f"new_{name}") for name in names})
    )


@functools.cache
def _change_and_get(table: Table, names: tuple[str, ...]) -> ReturningUpdate[Any]:
    return _change(table, names).returning(*table.c)
