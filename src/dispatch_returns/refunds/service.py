"""The refund service: carries each intent to refund to its end, exactly once.

The service writes the ledger row before the first call, and records each call before it makes it.
So wherever a process dies, the row shows what may have happened. The service then looks that up, or
sends the request again with the same idempotency key, never with a new one.

A row that was not sent at the moment of its entry may come from a backup, and people may have
changed their minds: before its first call, the service checks the processor and the ticket.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dispatch_returns import telemetry
from dispatch_returns.clock import Clock, utc_now
from dispatch_returns.errors import (
    AdapterError,
    APIError,
    ErrorKind,
    LeaseLostError,
    UnsupportedFeatureError,
)
from dispatch_returns.refunds import attempts, calls, external, guard, ledger, outcomes
from dispatch_returns.refunds.adapter import RefundAdapter, RefundResult
from dispatch_returns.refunds.decision import RefundDecision
from dispatch_returns.refunds.guard import GuardLimits, Hold
from dispatch_returns.refunds.intake import Intake
from dispatch_returns.refunds.ledger import Refund, RefundChanges
from dispatch_returns.refunds.listener import RefundListener, no_listener
from dispatch_returns.refunds.outcomes import NextStep
from dispatch_returns.refunds.processors import Adapters
from dispatch_returns.refunds.recorder import Recorder, ids_of
from dispatch_returns.refunds.retry_schedule import WAITING, RetrySchedule
from dispatch_returns.refunds.ticket_facts import OrderOf, PaymentResolver, no_order_source
from dispatch_returns.refunds.transitions import ACCEPTED, RefundAction, State
from dispatch_returns.store import Store, switches
from dispatch_returns.store.queue import Share
from dispatch_returns.store.schema import storable
from dispatch_returns.store.switches import Switch

log = logging.getLogger(__name__)

_KILL_SWITCH_PAUSE = timedelta(minutes=1)
_WAITS_FOR: Mapping[str, str] = {
    Switch.KILL: "the kill switch is on",
    Switch.RESTORED: "the database was restored, and is not reconciled yet",
}

TakenBack = Callable[[Refund], Hold | None]
"""Reads the ticket of a waiting refund, and returns why it must not be sent, if so.

Raises `APIError` when the ticket cannot be read.
"""


class RefundService:
    """Decides, records, asks the processor, records again. Safe to use from many threads.

    Its methods follow the order of a refund's life: it is entered, claimed when it is due, checked
    once more, sent; a call that may have been carried out is looked up, and a refund that the
    processor has accepted is followed to its end. `transitions` has every move; `recorder` makes
    them.
    """

    def __init__(
        self,
        store: Store,
        adapters: Adapters,
        resolver: PaymentResolver | None = None,
        limits: GuardLimits | None = None,
        *,
        schedule: RetrySchedule | None = None,
        clock: Clock = utc_now,
        jitter: Callable[[], float] = random.random,
        listener: RefundListener = no_listener,
        taken_back: TakenBack | None = None,
        order_of: OrderOf = no_order_source,
        workspace: Callable[[], str | None] = lambda: None,
        ready: Callable[[str], bool] = lambda _name: True,
    ) -> None:
        """`ready` says whether an adapter may be used: its account is the database's."""
        self.store = store
        self.adapters = adapters
        self.limits = limits or GuardLimits()
        self.schedule = schedule or RetrySchedule()
        self.now = clock
        self.listener = listener
        self.intake = Intake(
            adapters, resolver, self.limits, clock, listener, order_of=order_of, ready=ready
        )
        self.recorder = Recorder(
            store, adapters, self.schedule, clock=clock, jitter=jitter, listener=listener
        )
        self._always_stopped_by = self.limits.stopped_by
        self._taken_back = taken_back
        self._workspace = workspace
        self._ready = ready

    def stopped_by(self) -> frozenset[str]:
        """Return the names of the switches that stop payments now, by setting or in the store.

        Each is a `Switch`, or stops the payments of one adapter (`switches.kill_of`).
        """
        with self.store.read() as conn:
            return switches.on(conn) | self._always_stopped_by

    def _stopped(self, conn: Connection, adapter: str | None) -> frozenset[str]:
        """Return the names of the switches that stop the payments of `adapter` now."""
        return switches.stopping(switches.on(conn) | self._always_stopped_by, adapter)

    def adapter_of(self, refund: Refund) -> RefundAdapter:
        """Return the adapter of a row, which must be set up."""
        assert refund.adapter is not None
        return self.adapters[refund.adapter]

    # Entered: a ticket asks for it.

    def enter(
        self, conn: Connection, decision: RefundDecision
    ) -> tuple[Refund | None, Refund | None]:
        """Write `decision` into the ledger, and record there that it is sent now, if it can be.

        Return the row as it was entered, and the row to pass to `carry_out` after the commit. The
        second is None where something stands against it: then a worker claims the row when it is
        due, or it waits for a person. Nothing is written for a ticket that was settled before (see
        `Intake.enter`).
        """
        if self.intake.is_before(conn, decision):
            return None, None
        now = self.now()
        # It needs no second check before it is sent.
        adapter = decision.adapter or self.adapters.only
        capped = self.limits.max_per_day or self.limits.adapter_max_per_day.get(adapter or "")
        at_once = not (decision.hold or decision.look_first or capped)
        if at_once and self._may_pay(adapter) and not self._stopped(conn, adapter):
            created = self.intake.create(conn, decision, _sent(now, self.schedule))
        else:
            created = self.intake.create(conn, decision)
        if created is None:
            known = self.intake.enter_again(conn, decision)
            # A row that was waiting already may be of an old backup: look for its refund first.
            return known, self.begin(conn, known) if known.entered_at >= now else None
        if created.state is not State.SENDING:
            return created, self.begin(conn, created)
        attempts.record(conn, created, "refund", "sent", now)
        return created, created

    def begin(self, conn: Connection, refund: Refund) -> Refund | None:
        """Record that a refund just entered is sent now, inside the same transaction.

        Return the row to pass to `carry_out`, or None, as `enter` does.
        """
        if refund.state is not State.REQUESTED or refund.uncertain:
            return None
        if refund.due_at is None or refund.due_at > self.now():
            return None
        if not self._may_pay(refund.adapter):
            return None
        return self._mark_sending(conn, refund)

    def _may_pay(self, adapter: str | None) -> bool:
        return adapter is not None and adapter in self.adapters and self._ready(adapter)

    def carry_out(self, sending: Refund) -> None:
        """Make the call that `begin` recorded, and record its result."""
        with _left_to_another_worker(sending):
            self._call(sending)

    # Claimed: its next step is due.

    def claim(self, limit: int, which: Share | None = None) -> list[Refund]:
        """Claim up to `limit` refunds of this workspace whose next step is due.

        `which`: only those of some adapters.
        """
        lease, workspace = self.schedule.lease, self._workspace()
        return self.store.write(
            "refund.claim",
            lambda conn: ledger.claim(conn, self.now(), lease, limit, workspace, which=which),
        )

    def advance(self, refund: Refund) -> None:
        """Take a claimed refund one step further.

        Errors of the processor become states. A row that another worker has claimed meanwhile is
        left to that worker.
        """
        with _left_to_another_worker(refund):
            if refund.adapter not in self.adapters:
                self.recorder.wait_for_adapter(refund)
            elif refund.state in WAITING or refund.state is State.SUCCEEDED:
                self._follow(refund)
            elif refund.state is State.REQUESTED and refund.nothing_carried_out:
                self._check(refund)
            elif refund.state in {State.REQUESTED, State.SENDING, State.UNKNOWN}:
                # A worker that died left this row in `sending`.
                self._find_out(replace(refund, uncertain=True))
            else:
                self.recorder.rest(refund)

    # Checked: while it waited, it may have been paid, or people may have withdrawn it.

    def _check(self, refund: Refund) -> None:
        """Send a refund that has waited, unless it was paid meanwhile or people have withdrawn it.

        This store shows no earlier call, but the store may be an old backup.
        """
        can = self.adapter_of(refund).capabilities
        with self.store.read() as conn:
            stopped = self._stopped(conn, refund.adapter)
        if self.intake.was_just_entered(refund) and not refund.uncertain:
            self._send(refund)
        elif stopped:
            self._send(refund)  # it is postponed or held, and that needs no request
        elif not can.lookup and not calls.key_was_kept(
            refund, can, self.schedule.lease, self.now()
        ):
            self.recorder.park(refund)
        else:
            self._look_before_sending(refund)

    def _look_before_sending(self, refund: Refund) -> None:
        try:
            found = self._find(refund)
            is_ours = found is not None and found.ours
            if not is_ours and self._adopts(refund, waited=True):
                return
        except UnsupportedFeatureError as error:
            self.recorder.unsupported(refund, error)
            return
        except AdapterError as error:
            _log_error(refund, error)
            refused = outcomes.hold_for(error)
            if refused is None:
                self.recorder.retry(refund, error, "find")
            else:
                self.recorder.refuse(refund, refused, error, "find")
            return
        can = self.adapter_of(refund).capabilities
        if found is not None and is_ours:
            self.recorder.record(refund, found, by=RefundAction.FIND)
        elif (
            can.key_lifetime is None
            and refund.first_sent_at is not None
            and (not_shown := calls.not_shown_yet(refund, can, self.now()))
        ):
            # Only this look keeps such a processor from paying twice.
            self.recorder.retry(refund, not_shown, "find")
        else:
            self._send_unless_taken_back(refund)

    def _send_unless_taken_back(self, refund: Refund) -> None:
        """Check in the ticket whether people still want it, and send it if so."""
        try:
            hold = None if self._taken_back is None else self._taken_back(refund)
        except APIError as error:
            self.recorder.wait_for_ticket(refund, error)
            return
        if hold is None:
            self._send(refund)
        else:
            by = RefundAction.HOLD
            self.store.write(
                "refund.outcome", lambda conn: self.recorder.hold(conn, refund, hold, by=by)
            )

    # Sent: the ledger records it first.

    def _send(self, refund: Refund) -> None:
        sending = self.store.write("refund.sending", lambda conn: self._mark_sending(conn, refund))
        if sending is not None:
            self._call(sending)

    def _mark_sending(self, conn: Connection, refund: Refund) -> Refund | None:
        """Move the row to `sending` and return it, or return None where a limit forbids it now.

        This fences off any earlier claim: only this call is made.
        """
        now = self.now()
        stopped = self._stopped(conn, refund.adapter)
        if waits := stopped - {Switch.DRY_RUN}:
            wait = now + _KILL_SWITCH_PAUSE
            detail = _WAITS_FOR.get(min(waits), f"the kill switch of {refund.adapter} is on")
            ledger.change(conn, refund, now, detail=detail, due_at=wait, failing_since=None)
            return None
        sent = _sent(now, self.schedule)
        if refund.nothing_carried_out:
            hold = _last_hold(conn, refund, self.limits, stopped, now)
            if hold is not None:
                self.recorder.hold(conn, refund, hold, by=RefundAction.HOLD)
                return None
        else:
            sent["first_sent_at"], sent["sent_day"] = refund.first_sent_at, refund.sent_day
        attempts.record(conn, refund, "refund", "sent", now)
        sent["uncertain"] = refund.uncertain
        return ledger.move(conn, refund, now, State.SENDING, by=RefundAction.CALL, **sent)

    def _call(self, sending: Refund) -> None:
        """Request the refund from the processor, and record the result."""
        assert sending.due_at is not None
        if self.now() >= sending.due_at:
            # The next worker to claim the row looks first; this call could come after its key's
            # end.
            raise LeaseLostError(f"the lease of {sending.id} ended before the call was made")
        try:
            adapter = self.adapter_of(sending)
            with telemetry.processor_call(f"{sending.adapter}", "refund", **ids_of(sending)):
                request = calls.request_of(sending)
                calls.check_key(request, adapter.capabilities)
                result = adapter.refund(request)
        except UnsupportedFeatureError as error:
            self.recorder.unsupported(sending, error)
        except AdapterError as error:
            _log_error(sending, error)
            self._follow_from(sending, error)
        else:
            self.recorder.record(sending, result, by=RefundAction.ANSWER)

    def _follow_from(self, refund: Refund, error: AdapterError) -> None:
        verdict = outcomes.verdict(error.kind, uncertain=refund.uncertain)
        if verdict is NextStep.AGAIN:
            self.recorder.retry(refund, error)
        elif verdict is NextStep.LATER:
            self.recorder.defer(refund, error)
        elif verdict is NextStep.UNKNOWN:
            self.recorder.look_later(refund, error, "refund")
        elif verdict is NextStep.LOOK:
            self._look(refund, error)
        else:
            self.recorder.refuse(refund, outcomes.refusal(error), error)

    def _look(self, refund: Refund, error: AdapterError) -> None:
        """Look at the refund that the processor says exists, and take it over if it is this one."""
        try:
            found = self._find(refund)
            if found is None and error.kind is ErrorKind.ALREADY_REFUNDED and self._adopts(refund):
                return
        except AdapterError as again:
            self.recorder.cannot_look(refund, again)
            return
        if found is not None:
            self.recorder.record(refund, found, by=RefundAction.FIND)
        elif error.kind is ErrorKind.KEY_CONFLICT or not self._can_look(refund):
            self.recorder.park(refund, error)
        else:
            self.recorder.refuse(refund, outcomes.refusal(error), error)

    # Looked up: a call may have been carried out.

    def _find_out(self, refund: Refund) -> None:
        """Find out what became of a call that may have been carried out.

        Look first, which only reads. If the refund is not there and the key is certainly alive,
        send the same request again: the processor repeats its first answer, or carries the request
        out now.
        """
        can = self.adapter_of(refund).capabilities
        alive = calls.key_is_alive(refund, can, self.now())
        try:
            found = self._find(refund)
            if found is None and not alive and self._adopts(refund):
                return
        except AdapterError as error:
            self.recorder.cannot_look(refund, error)
            return
        if found is not None:
            self.recorder.record(refund, found, by=RefundAction.FIND)
        elif alive:
            self._send(refund)
        elif not_shown := calls.not_shown_yet(refund, can, self.now()):
            self.recorder.look_later(refund, not_shown, "find")
        else:
            self.recorder.park(refund)

    def _find(self, refund: Refund) -> RefundResult | None:
        """Ask the processor for this refund; None where it has none, or has no look-up."""
        adapter = self.adapter_of(refund)
        can = adapter.capabilities
        # Until the current key's refund has an id, the row carries that of an earlier one.
        processor_id = refund.processor_id if refund.state in ACCEPTED else None
        if not can.lookup and not (can.lookup_by_id and processor_id):
            return None
        with telemetry.processor_call(f"{refund.adapter}", "find", **ids_of(refund)):
            return adapter.find(calls.request_of(refund), processor_id)

    def _can_look(self, refund: Refund) -> bool:
        return self.adapter_of(refund).capabilities.lookup

    def _adopts(self, refund: Refund, *, waited: bool = False) -> bool:
        """Adopt an external refund that is exactly what was asked for; return whether there is one.

        A refund that has `waited`, and of which nothing was paid, is held for any other external
        refund made since its check; that returns True as well. Raises `AdapterError`.
        """
        if not self._can_look(refund):
            return False  # ours may exist as well
        listed = self.intake.listed(calls.request_of(refund).payment) or ()
        by_id = {it.result.processor_id: it for it in listed}

        def record(conn: Connection) -> bool:
            seen = external.beside(conn, refund, listed)
            made = (it.processor_id for it in seen if external.settles_row(it, refund))
            found = next((by_id[it] for it in made if it in by_id), None)
            if found is not None:
                result = replace(found.result, ours=False)
                self.recorder.apply(conn, refund, result, by=RefundAction.FIND)
                return True
            counted = refund.counted or ()
            if not waited or all(storable(it.processor_id) in counted for it in seen):
                return False
            # Whether both are too much is checked again from the ticket, and by a person: the
            # approval was given before this refund was known.
            hold, by = external.refunded_elsewhere(seen), RefundAction.HOLD
            self.recorder.hold(conn, refund, hold, by=by, keep_approval=False)
            return True

        return self.store.write("refund.outcome", record)

    # Followed: the processor has accepted it.

    def _follow(self, refund: Refund) -> None:
        """Ask for the status of a refund that the processor has accepted."""
        if not self.adapter_of(refund).capabilities.follows:
            self.recorder.no_word(refund)
            return
        try:
            found = self._find(refund)
        except AdapterError as error:
            _log_error(refund, error)
            self.recorder.cannot_follow(refund, error)
            return
        if found is not None:
            self.recorder.record(refund, found, by=RefundAction.FIND)
        else:
            self.recorder.follow_later(refund)


@contextmanager
def _left_to_another_worker(refund: Refund) -> Generator[None, None, None]:
    """Return quietly where another worker has taken the row over."""
    try:
        yield
    except LeaseLostError:
        log.info("refund %s was taken over by another worker", refund.id, extra=ids_of(refund))


def _sent(now: datetime, schedule: RetrySchedule) -> RefundChanges:
    """Return the row's changes for a call that is made now, and is the first with its key."""
    return {
        "first_sent_at": now,
        "sent_day": now.date().isoformat(),
        "due_at": now + schedule.lease,
    }


def _last_hold(
    conn: Connection, refund: Refund, limits: GuardLimits, stopped: frozenset[str], now: datetime
) -> Hold | None:
    """Return what holds a refund just before its first call: a dry run, or the day's cap."""
    assert refund.amount is not None
    if Switch.DRY_RUN in stopped:
        return guard.dry_run_hold(refund.amount)
    own = limits.adapter_max_per_day.get(refund.adapter or "")
    of_all = limits.max_per_day
    if not (of_all or own):
        return None
    today, currency = now.date().isoformat(), refund.amount.currency
    ledger.count_alone(conn, today, currency)
    for adapter, caps in ((None, of_all), (refund.adapter, own)):
        if caps:
            sent = ledger.sent_on(conn, today, currency, but=refund.id, adapter=adapter)
            if (hold := guard.over_day_cap(refund.amount, sent, caps, adapter)) is not None:
                return hold
    return None


def _log_error(refund: Refund, error: AdapterError) -> None:
    log.warning("refund %s: %s (%s)", refund.id, error.kind, error.code, extra=ids_of(refund))
