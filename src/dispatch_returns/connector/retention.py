"""Old events are deleted once they are done, and so is what names a customer in other tables.

The ledger, its attempts and acts are never deleted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.refunds import ledger
from dispatch_returns.returns import label_records
from dispatch_returns.store import Store, inbox
from dispatch_returns.telemetry import ids

log = logging.getLogger(__name__)

_BATCH = 500
_BETWEEN_PASSES = timedelta(hours=1)
KEEP_ADDRESSES = timedelta(days=60)
"""A refund can fail for 30 days after it was paid; then the customer's address is needed again."""


class Retention:
    """Deletes in small batches, between the other work. Any number of workers may do it at once.

    `keep` is how long an event is kept after it was dealt with, and a label's document after its
    return was over; see `Settings.keep_events`. Without it both stay. Addresses in the ledger go
    after `KEEP_ADDRESSES` in any case.
    """

    def __init__(self, store: Store, keep: timedelta | None, clock: Clock = utc_now) -> None:
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
            if self._keep is None and not self._read(ledger.with_old_address, self._least_recent()):
                self._next = self._clock() + _BETWEEN_PASSES
                return []
            after, self._after = self._after, None
            return [after]

    def _least_recent(self) -> datetime:
        return self._clock() - KEEP_ADDRESSES

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
        now = self._clock()
        if after == 0:
            self._thin_records(now)
        if self._keep is None:
            return None
        before = now - self._keep
        thinned = self._store.write(
            "event.thin", lambda conn: inbox.thin(conn, before=before, after=after, limit=_BATCH)
        )
        if thinned.deleted:
            log.info("%d old events deleted", thinned.deleted, extra=ids())
        return thinned.then

    def _thin_records(self, now: datetime) -> None:
        """Drop what names a customer, in batches that are looked for before the write."""
        while found := self._read(ledger.with_old_address, self._least_recent()):
            batch = found
            self._store.write("address.thin", lambda conn: ledger.forget_addresses(conn, batch))  # noqa: B023
        while self._keep and (found := self._read(label_records.thinnable, now - self._keep)):
            batch = found
            self._store.write("label.thin", lambda conn: label_records.thin(conn, batch))  # noqa: B023

    def _read(
        self, look: Callable[[Connection, datetime, int], list[str]], before: datetime
    ) -> list[str]:
        with self._store.read() as conn:
            return look(conn, before, _BATCH)


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
