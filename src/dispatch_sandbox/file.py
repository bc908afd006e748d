"""The sandbox's objects in a SQLite file, so that a sandbox can be stopped and started again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

from dispatch_sandbox.wire import Record, dumps, loads

Entry = tuple[str, str, str, Record | None]
"""Kind, id, workspace id (or empty), and the object; None deletes it."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    kind TEXT NOT NULL, id TEXT NOT NULL, workspace TEXT NOT NULL, body TEXT NOT NULL,
    UNIQUE (kind, id)
)
"""
_SAVE = """
INSERT INTO objects (kind, id, workspace, body) VALUES (?, ?, ?, ?)
ON CONFLICT (kind, id) DO UPDATE SET body = excluded.body
"""


class StateFile:
    """One row for each object. The caller holds the lock."""

    def __init__(self, path: str | Path) -> None:
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        # A test double may lose the last moment to a power cut, not to a crash of its process.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(_SCHEMA)

    def load(self) -> Iterator[tuple[str, str, Record]]:
        """Return kind, workspace id and object, in the order in which they were first saved."""
        rows = self._db.execute("SELECT kind, workspace, body FROM objects ORDER BY rowid")
        for kind, workspace, body in rows:
            yield kind, workspace, loads(body.encode())

    def save(self, entries: Iterable[Entry]) -> None:
        """Write and delete objects in one commit."""
        with self._db:
            self._db.execute("BEGIN")
            for kind, key, workspace, record in entries:
                if record is None:
                    self._db.execute("DELETE FROM objects WHERE (kind, id) = (?, ?)", (kind, key))
                else:
                    row = (kind, key, workspace, dumps(record).decode())
                    self._db.execute(_SAVE, row)

    def clear(self) -> None:
        """Delete everything."""
        self._db.execute("DELETE FROM objects")

    def close(self) -> None:
        """Close the file."""
        self._db.close()
