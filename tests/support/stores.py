"""Stores for tests: each has its own file or database, and only the first one is migrated."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from sqlite3 import Connection
from typing import Any

import sqlalchemy
from sqlalchemy import delete, event, update

from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.store import Store, schema
from tests.support import postgres

KINDS = ("sqlite", "postgresql")


@contextmanager
def opened(kind: str, folder: Path) -> Iterator[Store]:
    """Give a new, empty store of one of the `KINDS`; where there is no server, skip the test."""
    if kind == "postgresql":
        with postgres.new_store() as store:
            yield store
    else:
        with open_store(folder, durable=False) as store:
            yield store


def forget_refund(store: Store, refund_id: str) -> None:
    """Take a refund out of the ledger, as a restored backup would not have it."""
    with store._engine.connect() as conn:
        # They keep the record of attempts from just this.
        if conn.dialect.name == "sqlite":
            conn.exec_driver_sql("DROP TRIGGER IF EXISTS attempts_no_delete")
        else:
            conn.exec_driver_sql("ALTER TABLE attempts DISABLE TRIGGER USER")
        for table in (schema.attempts, schema.outbox):
            conn.execute(delete(table).where(table.c.refund_id == refund_id))
        conn.execute(delete(schema.ledger).where(schema.ledger.c.id == refund_id))


def overwrite_refund(conn: sqlalchemy.Connection, refund: Refund, **columns: Any) -> None:
    """Change columns of a refund's row past every check, as no code of ours does."""
    which = schema.ledger.c.id == refund.id
    conn.execute(update(schema.ledger).where(which).values(**columns))


def overwrite_return(conn: sqlalchemy.Connection, return_id: str, **columns: Any) -> None:
    """Change columns of a return's row past every check, as no code of ours does."""
    conn.execute(update(schema.returns).where(schema.returns.c.id == return_id).values(**columns))


def overwrite_label(conn: sqlalchemy.Connection, label_id: str, **columns: Any) -> None:
    """Change columns of a label's row past every check, as no code of ours does."""
    conn.execute(update(schema.labels).where(schema.labels.c.id == label_id).values(**columns))


def open_store(folder: Path, name: str = "returns.db", *, durable: bool = True) -> Store:
    """Open a new, empty store in `folder`.

    Without `durable` it does not wait for the disk, for tests of what is written and not of
    whether it is there after a power cut.
    """
    path = folder / name
    shutil.copyfile(_empty(), path)
    store = Store.open(f"sqlite:///{path}")
    if not durable:
        store._engine.dispose()
        event.listen(store._engine, "connect", _do_not_wait)
    return store


def _remove(folder: Path, owner: int) -> None:
    """A forked child leaves the folder to its parent."""
    if os.getpid() == owner:
        shutil.rmtree(folder)


def _do_not_wait(connection: Connection, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")


@cache
def _empty() -> Path:
    """Migrate once, because Alembic takes longer than most tests."""
    folder = Path(tempfile.mkdtemp(prefix="dispatch-returns-"))
    atexit.register(_remove, folder, os.getpid())
    path = folder / "empty.db"
    Store.open(f"sqlite:///{path}").close()
    return path
