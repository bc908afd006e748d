"""New rows, each inserted unless one with its key is there; many in one statement on a server."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Insert, Table
from sqlalchemy.dialects import postgresql, sqlite


@dataclass(frozen=True, slots=True, eq=False)
class NewRows:
    """A write that inserts `rows`, and returns for each whether it was new.

    `key` names the columns of a unique key. Unlike any other function, several of these can share
    a statement: see `together`.
    """

    table: Table
    key: tuple[str, ...]
    rows: Sequence[dict[str, Any]]

    def __call__(self, conn: Connection) -> list[bool]:
        """Insert the rows."""
        statement = insert_unless_there(self.table, conn.dialect.name)
        if conn.dialect.name != "postgresql" or len(self.rows) == 1:
            # SQLite has no round trips to save.
            return [conn.execute(statement, row).rowcount == 1 for row in self.rows]
        returning = statement.returning(*(self.table.c[name] for name in self.key))
        inserted = {tuple(found) for found in conn.execute(returning, list(self.rows))}
        new: list[bool] = []
        for row in self.rows:
            key = tuple(row[name] for name in self.key)
            new.append(key in inserted)
            inserted.discard(key)  # a second one in the same statement was not inserted
        return new


def together(conn: Connection, works: Sequence[Callable[[Connection], Any]]) -> list[Any]:
    """Do each of `works`, and return what each returned; new rows of one table go in together."""
    alike = [it for it in works if isinstance(it, NewRows)]
    if len(alike) < 2 or any(it.table is not alike[0].table for it in alike):
        return [work(conn) for work in works]
    first = alike[0]
    new = iter(NewRows(first.table, first.key, [row for it in alike for row in it.rows])(conn))
    return [
        [next(new) for _ in work.rows] if isinstance(work, NewRows) else work(conn)
        for work in works
    ]


@functools.cache
def insert_unless_there(table: Table, dialect: str, key: tuple[str, ...] | None = None) -> Insert:
    """Return the statement that inserts a row unless one with the same unique key is there."""
    if dialect == "postgresql":
        insert_or_not = postgresql.insert(table).on_conflict_do_nothing(index_elements=key)
        # SQLAlchemy asks PostgreSQL for the new row's number, and forgets the count over it.
        return insert_or_not.execution_options(preserve_rowcount=True)
    return sqlite.insert(table).on_conflict_do_nothing(index_elements=key).inline()
