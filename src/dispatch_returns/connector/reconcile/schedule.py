"""The workers' regular comparison: the last few days, and only safe fixes."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from datetime import datetime, timedelta

from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.connector.reconcile.compare import Reconciler
from dispatch_returns.connector.reconcile.discrepancies import Discrepancy
from dispatch_returns.errors import AdapterError, APIError, LeaseLostError
from dispatch_returns.store import Store, jobs
from dispatch_returns.store.jobs import Job
from dispatch_returns.telemetry import ids

log = logging.getLogger(__name__)

_NAME = "reconcile"
_CHECK_EVERY = timedelta(minutes=1)
_LEASE = timedelta(hours=1)
"""A comparison that takes longer may run twice at once, which is harmless."""


class Schedule:
    """The comparison as a recurring job, which one machine at a time claims."""

    def __init__(
        self,
        store: Store,
        reconciler: Reconciler,
        *,
        every: timedelta,
        days: int,
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._reconciler = reconciler
        self._every = every
        self._back = timedelta(days=days)
        self._clock = clock
        self._lock = threading.Lock()
        self._next_check: datetime | None = None

    def claim(self, _limit: int) -> list[Job]:
        """Return the job if it is due and no other machine has it."""
        now = self._clock()
        with self._lock:
            if self._next_check is not None and now < self._next_check:
                return []
            self._next_check = now + _CHECK_EVERY
        first = now + self._every
        job = self._store.write(
            "reconcile.claim",
            lambda conn: jobs.claim(conn, _NAME, now, first=first, lease=_LEASE),
        )
        return [] if job is None else [job]

    def run(self, job: Job) -> None:
        """Compare the last days, fix what is safe, and log the rest."""
        again = self._every
        left: Counter[str] = Counter()

        def note(found: Discrepancy) -> None:
            if found.settled:
                extra = ids(ticket_id=found.ticket_id, refund_id=found.refund_id)
                log.info("reconciled: %s, ticket %s", found.cause, found.ticket_id, extra=extra)
            else:
                left[found.cause] += 1

        try:
            report = self._reconciler.run(note, since=self._clock() - self._back, fix=True)
        except (APIError, AdapterError) as error:
            log.warning("could not reconcile: %s", type(error).__name__, extra=ids())
            again = min(again, _LEASE)
        else:
            if left:
                counts = ", ".join(f"{count} {cause}" for cause, count in sorted(left.items()))
                text = "discrepancies: %s. Run: dispatch-returns reconcile"
                log.warning(text, counts, extra=ids())
            else:
                log.info("no discrepancies: %s", report.lines, extra=ids())
            if report.silent:
                again = min(again, _LEASE)
        try:
            self._store.write(
                "reconcile.done", lambda conn: jobs.finish(conn, job, self._clock() + again)
            )
        except LeaseLostError:
            text = "the comparison took so long that another worker has started the next one"
            log.info(text, extra=ids())
