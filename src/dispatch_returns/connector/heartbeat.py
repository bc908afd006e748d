"""Records that a worker runs, so that probes notice when none does."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from dispatch_returns.clock import Clock, since_boot
from dispatch_returns.store import Store, heartbeats

_EVERY_SECONDS = 60.0


class Heartbeat:
    """Written by any runner that claims work, at most once a minute in each process."""

    def __init__(
        self, store: Store, clock: Clock, monotonic: Callable[[], float] = since_boot
    ) -> None:
        self._store = store
        self._clock = clock
        self._monotonic = monotonic
        self._written: float | None = None

    def claim(self, limit: int) -> list[datetime]:
        """Record a heartbeat if the last one is a minute old. There is never anything to run."""
        now = self._monotonic()
        if limit > 0 and (self._written is None or now >= self._written + _EVERY_SECONDS):
            at = self._clock()
            self._store.write("worker.beat", lambda conn: heartbeats.beat(conn, at))
            self._written = now
        return []

    def run(self, _at: datetime) -> None:
        """Do nothing: `claim` has done it."""
