"""Stores for tests: each has its own file, and only the first one is migrated."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from sqlite3 import Connection

from sqlalchemy import event

from dispatch_returns.store import Store


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
