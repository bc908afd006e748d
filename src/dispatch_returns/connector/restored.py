"""After a restore from a backup: the ledger learns what was paid since, then payments resume."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from itertools import islice

from sqlalchemy import Connection

from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.connector.go_live import GoLive
from dispatch_returns.connector.processor_events import ProcessorEvents
from dispatch_returns.errors import AdapterError, APIError, LeaseLostError
from dispatch_returns.refunds import ledger, messages
from dispatch_returns.refunds.adapter import (
    SupportsListing,
    readable_refunds,
)
from dispatch_returns.refunds.guard import Hold, Reason
from dispatch_returns.refunds.sync import PaymentRefunds, say_unreadable
from dispatch_returns.refunds.transitions import RefundAction, State
from dispatch_returns.store import Store, go_live, jobs, restores
from dispatch_returns.store.jobs import Job
from dispatch_returns.store.restores import Restore
from dispatch_returns.telemetry import ids

log = logging.getLogger(__name__)

_NAME = "restored"
_LEASE = timedelta(hours=1)
_AGAIN = timedelta(minutes=1)
_MARGIN = timedelta(days=1)
"""Clocks differ, and a refund in progress at the time of the backup may have been paid later."""
_BATCH = 50


class Restored:
    """Reconciles after `restores.declare`, and then ends the hold on payments by itself."""

    def __init__(
        self,
        store: Store,
        processor_events: ProcessorEvents,
        go_live: GoLive,
        *,
        workspace: Callable[[], str],
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._processor_events = processor_events
        self._go_live = go_live
        self._workspace = workspace
        self._clock = clock

    def is_over(self) -> bool:
        """Return whether no restore is to be reconciled; until then nothing is decided or sent."""
        with self._store.read() as conn:
            return restores.pending(conn) is None

    def claim(self, _limit: int) -> list[Job]:
        """Return the comparison as work, if a restore is to be reconciled."""
        if self.is_over():
            return []
        now = self._clock()
        job = self._store.write(
            "restored.claim", lambda conn: jobs.claim(conn, _NAME, now, first=now, lease=_LEASE)
        )
        return [] if job is None else [job]

    def run(self, job: Job) -> None:
        """Bring the refunds since the backup into the ledger, then resume payments."""
        with self._store.read() as conn:
            found = restores.pending(conn)
        try:
            if found is not None:
                self._reconcile(found)
                self._store.write("restored.done", lambda conn: self._complete(conn, found))
                self._go_live.forget()
        except (APIError, AdapterError, LeaseLostError) as error:
            text = "the restored database can't be reconciled now, so nothing is paid"
            log.warning("%s: %s", text, type(error).__name__, extra=ids())
        again = self._clock() + _AGAIN
        self._store.write("restored.later", lambda conn: jobs.finish(conn, job, again))

    def _reconcile(self, found: Restore) -> None:
        events = self._processor_events
        since = None if found.known_until is None else found.known_until - _MARGIN
        for name, adapter in events.adapters.items():
            if not isinstance(adapter, SupportsListing):
                continue  # each row looks up its own refund, or a person does
            listed = readable_refunds(adapter.refunds_between(since, None), say_unreadable)
            while batch := list(islice(listed, _BATCH)):
                for known in batch:
                    if not events.sync[name].agrees(known):
                        entry = events.found(name, PaymentRefunds([known]))
                        self._store.write("restored.reconcile", partial(events.write, found=entry))

    def _complete(self, conn: Connection, found: Restore) -> None:
        adapters = self._processor_events.adapters.items()
        blind = {name for name, it in adapters if not it.capabilities.lookup}
        if blind:
            # What may have been paid since the backup can't be looked up: people decide.
            now = self._clock()
            detail = "The database was restored from a backup: this may have been paid since."
            hold = Hold(Reason.OUTCOME_UNKNOWN, detail)
            for refund in ledger.in_state(conn, State.REQUESTED):
                if refund.adapter in blind and refund.entered_at <= found.at:
                    parked = ledger.move(
                        conn,
                        refund,
                        now,
                        State.UNKNOWN,
                        by=RefundAction.LOSE_TRACK,
                        reason=hold.reason,
                        detail=detail,
                        uncertain=True,
                        due_at=None,
                    )
                    messages.report_hold(conn, parked, hold, now)
            # A held one may have been corrected and paid: no event alone pays its ticket.
            for refund in ledger.in_state(conn, State.HELD):
                if refund.adapter in {None, *blind} and refund.entered_at <= found.at:
                    go_live.settle(conn, refund.workspace_id, refund.ticket_id)
            # A `refunded` ticket without a row may have had one that the backup lacks.
            go_live.again(conn, self._workspace())
        restores.complete(conn, self._clock(), why="reconciled with the processor's refunds")
        log.info("the restored database is reconciled: payments resume", extra=ids())
