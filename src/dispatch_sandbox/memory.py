"""What a sandbox is built on: a lock, a clock, the workspaces, and the file that keeps them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dispatch_sandbox.faults import Faults
from dispatch_sandbox.file import Entry, StateFile
from dispatch_sandbox.wire import Record, stamp
from dispatch_sandbox.workspace import Workspace


def utc_now() -> datetime:
    """Return the time, aware, in UTC."""
    return datetime.now(UTC)


class Memory:
    """The workspaces and the faults, under one lock.

    ``file`` is a SQLite file (made if missing) that keeps what is saved, or None; ``clock``
    returns aware times.
    """

    def __init__(self, file: str | Path | None, clock: Callable[[], datetime]) -> None:
        self.lock = threading.RLock()
        self.faults = Faults()
        self.workspaces: dict[str, Workspace] = {}
        self._clock = clock
        self._changed: dict[tuple[str, str], Entry] = {}
        self._file = None if file is None else StateFile(file)

    def now(self) -> str:
        """Return the time as the API writes it."""
        return stamp(self._clock())

    def later(self, seconds: int) -> str:
        """Return the time in ``seconds`` from now."""
        return stamp(self._clock() + timedelta(seconds=seconds))

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Hold the lock, and write to the file what was saved meanwhile."""
        with self.lock:
            try:
                yield
            finally:
                if self._file is not None and self._changed:
                    self._file.save(self._changed.values())
                    self._changed.clear()

    def save(self, kind: str, record: Record, workspace: Workspace | None = None) -> None:
        """Note that an object is new or changed."""
        owner = "" if workspace is None else workspace.id
        self._note(kind, record["id"], owner, record)

    def forget(self, kind: str, record: Record) -> None:
        """Note that an object is gone."""
        self._note(kind, record["id"], "", None)

    @property
    def is_kept(self) -> bool:
        """Whether there is a file."""
        return self._file is not None

    def kept(self) -> Iterator[tuple[str, str, Record]]:
        """Read the file: kind, workspace id and object, in the order of their first save."""
        return iter(()) if self._file is None else self._file.load()

    def _clear(self) -> None:
        """Forget the workspaces, the faults, and what is in the file."""
        self.faults.clear()
        self.workspaces.clear()
        self._changed.clear()
        if self._file is not None:
            self._file.clear()

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()

    def _note(self, kind: str, key: str, owner: str, record: Record | None) -> None:
        if self._file is not None:
            self._changed[kind, key] = (kind, key, owner, record)
