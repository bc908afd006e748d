"""Deletes old events once they are done, and what identifies a customer in other tables.

The ledger, its attempts and the audit log are never deleted.
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
"""How long a customer's address is kept after it was needed: in the ledger and on labels.

A refund can fail up to 30 days after it was paid, and then needs it. The label itself stays on its
ticket.
"""


class Retention:
    """Deletes in small batches, between other work. Any number of workers may do it at once.

    `keep` is how long an event is kept after it was processed; see `Settings.keep_events`. Without
    it all are kept. Addresses in the ledger are deleted after `KEEP_ADDRESSES` in any case, and a
    label's document after that, or after `keep` if it is shorter.
    """

    def __init__(self, store: Store, keep: timedelta | None, clock: Clock = utc_now) -> None:
        self._store = store
        self._keep = keep
        self._clock = clock
        self._lock = threading.Lock()
        self._next: datetime | None = None
        self._after: int | None = 0
        """Where the next batch starts; None while one is being deleted."""

    def claim(self, _limit: int) -> list[int]:
        """Return where the next batch starts, nothing if none is due."""
        with self._lock:
            if self._after is None or (self._next is not None and self._clock() < self._next):
                return []
            if self._keep is None and not self._has_old_addresses(self._clock()):
                self._next = self._clock() + _BETWEEN_PASSES
                return []
            after, self._after = self._after, None
            return [after]

    def thin(self, after: int) -> None:
        """Delete old events after number `after`, and with the first batch old addresses."""
        then: int | None = None
        try:
            if after == 0:
                self._thin_records(self._clock())
            if self._keep is not None:
                before = self._clock() - self._keep
                thinned = self._store.write(
                    "event.thin",
                    lambda conn: inbox.thin(conn, before=before, after=after, limit=_BATCH),
                )
                if thinned.deleted:
                    log.info("%d old events deleted", thinned.deleted, extra=ids())
                then = thinned.then
        finally:
            with self._lock:
                self._after = then or 0
                self._next = None if then else self._clock() + _BETWEEN_PASSES

    def _thin_records(self, now: datetime) -> None:
        """Delete what identifies a customer, in batches that are read before the write."""
        while found := self._read(ledger.with_old_address, now - KEEP_ADDRESSES):
            batch = found
            self._store.write("address.thin", lambda conn: ledger.forget_addresses(conn, batch))  # noqa: B023
        while found := self._read(label_records.thinnable, now - self._keep_labels):
            batch = found
            self._store.write("label.thin", lambda conn: label_records.thin(conn, batch))  # noqa: B023

    def _has_old_addresses(self, now: datetime) -> bool:
        return bool(
            self._read(ledger.with_old_address, now - KEEP_ADDRESSES)
            or self._read(label_records.thinnable, now - self._keep_labels)
        )

    @property
    def _keep_labels(self) -> timedelta:
        return KEEP_ADDRESSES if self._keep is None else min(self._keep, KEEP_ADDRESSES)

    def _read(
        self, query: Callable[[Connection, datetime, int], list[str]], before: datetime
    ) -> list[str]:
        with self._store.read() as conn:
            return query(conn, before, _BATCH)


def thin_all(store: Store, before: datetime) -> int:
    """Delete every event that was processed before `before`; return how many there were."""
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
