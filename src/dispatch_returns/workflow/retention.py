"""Old events are deleted once they are done; the ledger, its attempts and acts never are."""

from __future__ import annotations

import logging
import threading
from datetime import datetime, timedelta

from dispatch_returns.refunds.clock import Clock, utc_now
from dispatch_returns.store import Store, inbox
from dispatch_returns.telemetry import ids

log = logging.getLogger(__name__)

_BATCH = 500
_BETWEEN_PASSES = timedelta(hours=1)


class Retention:
    """Deletes in small batches, between the other work. Any number of workers may do it at once.

    `keep` is how long an event is kept after it was dealt with; see `Settings.keep_events`.
    """

    def __init__(self, store: Store, keep: timedelta, clock: Clock = utc_now) -> None:
        self._store = store
        self._keep = keep
        self._clock = clock
        self._lock = threading.Lock()
        self._next: datetime | None = None
        self._after: int | None = 0
        """Where the next batch begins; None while one is under way."""

    def claim(self, _limit: int) -> list[int]:
        """Return where the next batch begins, or nothing where none is due."""
        with self._lock:
            if self._after is None or (self._next is not None and self._clock() < self._next):
                return []
            after, self._after = self._after, None
            return [after]

    def thin(self, after: int) -> None:
        """Delete what is old among the events that follow number `after`."""
        then: int | None = None
        try:
            then = self._thin(after)
        finally:
            with self._lock:
                self._after = then or 0
                self._next = None if then else self._clock() + _BETWEEN_PASSES

    def _thin(self, after: int) -> int | None:
        before = self._clock() - self._keep
        thinned = self._store.write(
            "event.thin", lambda conn: inbox.thin(conn, before=before, after=after, limit=_BATCH)
        )
        if thinned.deleted:
            log.info("%d old events deleted", thinned.deleted, extra=ids())
        return thinned.then


def thin_all(store: Store, before: datetime) -> int:
    """Delete every event that was dealt with before `before`; return how many there were."""
    deleted, after = 0, 0
    while True:
        thinned = store.write(
            "event.thin",
            lambda conn: inbox.thin(conn, before=before, after=after, limit=_BATCH),  # noqa: B023
        )
        deleted += thinned.deleted
        if thinned.then is None:
            return deleted
        after = thinned.then
