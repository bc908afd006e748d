"""The light comparison that the workers make: the last days, and only what is safe is fixed."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from datetime import datetime, timedelta

from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.connector.reconcile.compare import Reconciler
from dispatch_returns.connector.reconcile.differences import Difference
from dispatch_returns.errors import AdapterError, APIError, LeaseLostError
from dispatch_returns.store import Store, jobs
from dispatch_returns.store.jobs import Job
from dispatch_returns.telemetry import ids

log = logging.getLogger(__name__)

_NAME = "reconcile"
_LOOK_EVERY = timedelta(minutes=1)
_LEASE = timedelta(hours=1)
"""A comparison that takes longer may be made twice at once, which does no harm."""


class Schedule:
    """One machine compares each time: the store's row for it is claimed."""

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
        self._look_at: datetime | None = None

    def claim(self, _limit: int) -> list[Job]:
        """Return the job if it is due and no other machine has it."""
        now = self._clock()
        with self._lock:
            if self._look_at is not None and now < self._look_at:
                return []
            self._look_at = now + _LOOK_EVERY
        first = now + self._every
        job = self._store.write(
            "reconcile.claim",
            lambda conn: jobs.claim(conn, _NAME, now, first=first, lease=_LEASE),
        )
        return [] if job is None else [job]

    def run(self, job: Job) -> None:
        """Compare the last days, fix what is safe, and say what is left in the log."""
        again = self._every
        try:
            self._compare()
        except (APIError, AdapterError) as error:
            said = type(error).__name__
            log.warning("the books could not be compared: %s", said, extra=ids())
            again = min(again, _LEASE)
        try:
            self._store.write(
                "reconcile.done", lambda conn: jobs.finish(conn, job, self._clock() + again)
            )
        except LeaseLostError:
            said = "the comparison took so long that another worker has begun the next"
            log.info(said, extra=ids())

    def _compare(self) -> None:
        left: Counter[str] = Counter()

        def found(difference: Difference) -> None:
            if difference.settled:
                extra = ids(ticket_id=difference.ticket_id, refund_id=difference.refund_id)
                log.info(
                    "reconciled: %s, ticket %s",
                    difference.cause,
                    difference.ticket_id,
                    extra=extra,
                )
            else:
                left[difference.cause] += 1

        report = self._reconciler.run(found, since=self._clock() - self._back, fix=True)
        if left:
            said = ", ".join(f"{count} {cause}" for cause, count in sorted(left.items()))
            log.warning("the books differ: %s. Run: dispatch-returns reconcile", said, extra=ids())
        else:
            log.info("the books agree: %s", report.lines, extra=ids())
