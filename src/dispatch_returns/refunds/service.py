"""The refund service: takes an intent to pay back to its end, exactly once.

The ledger row is written before the first call, and says before each call that it is made. So
whatever dies and wherever, the row tells what may have happened, and what may have happened is
looked up or asked again with the same idempotency key, never with a new one.

A row that was not sent at the moment it was entered may come from a backup, and people may have
changed their minds: the processor is looked at, and the ticket, before its first call.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping
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
    NotShownError,
    UnsupportedFeatureError,
)
from dispatch_returns.refunds import guard, ledger, messages, outcomes
from dispatch_returns.refunds.adapter import (
    PaymentRef,
    RefundAdapter,
    RefundRequest,
    RefundResult,
)
from dispatch_returns.refunds.announce import Announce, tell_nobody
from dispatch_returns.refunds.guard import Hold, Rails, Reason
from dispatch_returns.refunds.intake import NOT_APPROVED, Decision, Intake
from dispatch_returns.refunds.ledger import Refund, RefundChanges
from dispatch_returns.refunds.outcomes import Verdict
from dispatch_returns.refunds.pace import WAITING, Pace
from dispatch_returns.refunds.taken_back import deleted
from dispatch_returns.refunds.ticket_facts import OrderOf, PaymentResolver, nobody_asked
from dispatch_returns.refunds.transitions import RefundAction, State
from dispatch_returns.store import Store, switches
from dispatch_returns.store.queue import failing_since
from dispatch_returns.store.switches import Switch

log = logging.getLogger(__name__)

_KEY_MARGIN = timedelta(hours=1)
"""A key this close to the end of its life may be gone when the request arrives."""
_CLOCKS_DIFFER = timedelta(minutes=5)
_SOON = timedelta(minutes=1)
_KILL_SWITCH_PAUSE = timedelta(minutes=1)
_WAITS_FOR: Mapping[str, str] = {
    Switch.KILL: "the kill switch is on",
    Switch.RESTORED: "the database was restored, and is not reconciled yet",
}
_NOT_KNOWN = Hold(Reason.OUTCOME_UNKNOWN, "It is not known whether this refund was paid.")

_NOT_TOLD = Hold(
    Reason.STATUS_UNKNOWN,
    "The processor accepted this refund, and for a day it has not said how it stands.",
)

_CALLS: Mapping[RefundAction, str] = {
    RefundAction.ANSWER: "refund",
    RefundAction.FIND: "find",
    RefundAction.REPORT: "event",
    RefundAction.CONFIRM: "confirm",
}
"""What an attempt is called by which the processor's word came."""
_FINISHED = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELED})

TakenBack = Callable[[Refund], Hold | None]
"""Reads the ticket of a refund that waits, and says why it must not be sent, if so.

Raises `APIError` when the ticket cannot be read.
"""


class RefundService:
    """Decides, records, asks the processor, records again. Safe to run in many threads."""

    def __init__(
        self,
        store: Store,
        adapter: RefundAdapter,
        resolver: PaymentResolver | None = None,
        rails: Rails | None = None,
        *,
        pace: Pace | None = None,
        clock: Clock = utc_now,
        jitter: Callable[[], float] = random.random,
        announce: Announce = tell_nobody,
        taken_back: TakenBack | None = None,
        order_of: OrderOf = nobody_asked,
        workspace: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.store = store
        self.adapter = adapter
        self._taken_back = taken_back
        self.rails = rails or Rails()
        self.pace = pace or Pace()
        self.intake = Intake(adapter, resolver, self.rails, clock, announce, order_of=order_of)
        self.announce = announce
        self.now = clock
        self._always_stopped_by = self.rails.stopped_by
        self._jitter = jitter
        self._workspace = workspace

    def stopped_by(self) -> frozenset[str]:
        """Return the names of the `Switch`es that stop payments now, by setting or in the store."""
        with self.store.read() as conn:
            return self._stopped_by(conn)

    def _stopped_by(self, conn: Connection) -> frozenset[str]:
        return switches.on(conn) | self._always_stopped_by

    # From a row of the ledger to its end.

    def claim(self, limit: int) -> list[Refund]:
        """Take up to `limit` refunds of this workspace whose next step is due."""
        lease, workspace = self.pace.lease, self._workspace()
        return self.store.write(
            "refund.claim", lambda conn: ledger.claim(conn, self.now(), lease, limit, workspace)
        )

    def advance(self, refund: Refund) -> None:
        """Take a claimed refund one step further.

        Errors of the processor become states. A row that another worker has taken over
        meanwhile is left to it.
        """
        try:
            self._advance(refund)
        except LeaseLostError:
            log.info("refund %s was taken over by another worker", refund.id, extra=_ids(refund))

    def _advance(self, refund: Refund) -> None:
        if refund.adapter != self.adapter.name:
            self._wait_for_its_adapter(refund)
        elif refund.state in WAITING or refund.state is State.SUCCEEDED:
            self._poll(refund)
        elif refund.state is State.REQUESTED and refund.nothing_carried_out:
            self._send_late(refund)
        elif refund.state in {State.REQUESTED, State.SENDING, State.UNKNOWN}:
            # A row found in `sending` was left there by a worker that died.
            self._settle(replace(refund, uncertain=True))
        else:
            self._postpone(refund, None, refund.detail)

    def _wait_for_its_adapter(self, refund: Refund) -> None:
        """Put off a refund of another adapter; after a day, tell people once, and go on waiting."""
        detail = f"{ledger.WAITS_FOR_ADAPTER} {refund.adapter}"

        def record(conn: Connection) -> None:
            now = self.now()
            since = failing_since(refund.failing_since, refund.detail, detail, now)
            due_at = now + self.pace.wait_on(now - since, _SOON)
            ledger.change(conn, refund, now, detail=detail, due_at=due_at, failing_since=since)
            if now - since >= self.pace.patience and refund.state not in _FINISHED:
                why = (
                    f"It was begun with the adapter {refund.adapter}, and"
                    f" DISPATCH_RETURNS_ADAPTER is {self.adapter.name} now."
                )
                messages.tell_agents(conn, refund, Hold(Reason.UNREACHABLE, why), now)

        self.store.write("refund.postpone", record)

    def enter(self, conn: Connection, decision: Decision) -> tuple[Refund | None, Refund | None]:
        """Write `decision` into the ledger, and say there that it is sent now, if it can be.

        Return the row as it was entered, and the row to hand to `carry_out` after the commit:
        None where something stands against it. Then it is claimed when it is due, or waits for
        a person. Nothing is written for a ticket that was settled before (see `Intake.enter`).
        """
        if self.intake.is_before(conn, decision):
            return None, None
        now = self.now()
        at_once = self._sent(now) if self._nothing_against(conn, decision) else None
        created = self.intake.create(conn, decision, at_once)
        if created is None:
            known = self.intake.enter_again(conn, decision)
            # A row that waited since before may be of an old backup: it is looked for first.
            return known, self.begin(conn, known) if known.entered_at >= now else None
        if created.state is not State.SENDING:
            return created, self.begin(conn, created)
        ledger.record_attempt(conn, created, "refund", "sent", now)
        return created, created

    def _nothing_against(self, conn: Connection, decision: Decision) -> bool:
        """Whether a new intent needs no second look before it is sent."""
        if decision.hold is not None or decision.look_first or self.rails.max_per_day:
            return False
        return not self._stopped_by(conn)

    def begin(self, conn: Connection, refund: Refund) -> Refund | None:
        """Say in the ledger that a refund just entered is sent now, inside the same transaction.

        Return the row to hand to `carry_out`, or None, as `enter` does.
        """
        if refund.state is not State.REQUESTED or refund.uncertain:
            return None
        if refund.due_at is None or refund.due_at > self.now():
            return None
        if refund.adapter != self.adapter.name:
            return None
        return self._begin(conn, refund)

    def carry_out(self, sending: Refund) -> None:
        """Make the call that `begin` has announced, and record what came of it."""
        try:
            self._call(sending)
        except LeaseLostError:
            log.info("refund %s was taken over by another worker", sending.id, extra=_ids(sending))

    def _send(self, refund: Refund) -> None:
        """Say in the ledger that the call is made, make it, and record what came of it."""
        sending = self.store.write("refund.sending", lambda conn: self._begin(conn, refund))
        if sending is not None:
            self._call(sending)

    def _send_late(self, refund: Refund) -> None:
        """Send what has waited, unless it was paid meanwhile or people have taken it back.

        It was never sent as far as this store knows, and the store may be an old backup.
        """
        if self.intake.was_just_entered(refund) and not refund.uncertain:
            self._send(refund)
        elif self.stopped_by():
            self._send(refund)  # it is put off or held, and nobody needs to be asked for that
        elif not self.adapter.capabilities.lookup and not self._key_was_kept(refund):
            self._park_unknown(refund)
        else:
            self._look_and_send(refund)

    def _look_and_send(self, refund: Refund) -> None:
        try:
            found = self._find(refund)
            is_ours = found is not None and found.ours
            if not is_ours and self._adopts(refund, waited=True):
                return
        except UnsupportedFeatureError as error:
            self._unsupported(refund, error)
            return
        except AdapterError as error:
            self._cannot_look_yet(refund, error)
            return
        if found is not None and is_ours:
            self._record(refund, found, "find")
            return
        try:
            hold = None if self._taken_back is None else self._taken_back(refund)
        except APIError as error:
            self._read_later(refund, error)
            return
        if hold is None:
            self._send(refund)
        else:
            by = RefundAction.HOLD
            self.store.write("refund.outcome", lambda conn: self.hold(conn, refund, hold, by=by))

    def _key_was_kept(self, refund: Refund) -> bool:
        """Whether the processor still knows this row's key, had it been used since its entry.

        What a person pays by hand, a person confirms.
        """
        can = self.adapter.capabilities
        if can.manual:
            return True
        if can.key_lifetime is None:
            kept = self.now() < refund.entered_at + self.pace.lease
        else:
            kept = self._key_lives(refund.entered_at, can.key_lifetime)
        return not refund.uncertain and kept

    def _key_lives(self, since: datetime, lifetime: timedelta) -> bool:
        """Whether a key that was first used at `since` is certainly remembered now.

        Where nothing can be looked up, only the clock says so, and it may be wrong: half of the
        lifetime is trusted, and none of it where the clock stands before the first use.
        """
        if self.adapter.capabilities.lookup:
            return self.now() < since + lifetime - _KEY_MARGIN
        return since - _CLOCKS_DIFFER <= self.now() < since + lifetime / 2

    def _cannot_look_yet(self, refund: Refund, error: AdapterError) -> None:
        log.warning("refund %s: %s (%s)", refund.id, error.kind, error.code, extra=_ids(refund))
        hold = outcomes.hold_for(error)
        if hold is None:
            self._try_again(refund, error, "find")
        else:
            self._refuse(refund, hold, error, "find")

    def _read_later(self, refund: Refund, error: APIError) -> None:
        log.warning(
            "refund %s: its ticket cannot be read: %s",
            refund.id,
            type(error).__name__,
            extra=_ids(refund),
        )
        wait = self.pace.retry_in(refund.tries, None, self._jitter())
        missing = isinstance(error, NotShownError) and error.missing
        detail = f"The ticket {'is not found' if missing else 'cannot be read'}: {error.message}"

        def record(conn: Connection) -> None:
            now = self.now()
            since = failing_since(refund.failing_since, refund.detail, detail, now)
            if missing and now - since >= self.pace.patience:
                self.hold(conn, refund, deleted(refund), by=RefundAction.HOLD)
                return
            ledger.change(
                conn,
                refund,
                now,
                detail=detail,
                due_at=now + wait,
                tries=refund.tries + 1,
                failing_since=since,
            )

        self.store.write("refund.postpone", record)

    def _call(self, sending: Refund) -> None:
        assert sending.due_at is not None
        if self.now() >= sending.due_at:
            # Whoever claims the row next looks first; this call could come after its key's end.
            raise LeaseLostError(f"the lease of {sending.id} ended before the call was made")
        try:
            with telemetry.processor_call(self.adapter.name, "refund", **_ids(sending)):
                result = self.adapter.refund(_request(sending))
        except UnsupportedFeatureError as error:
            self._unsupported(sending, error)
        except AdapterError as error:
            self._after_error(sending, error)
        else:
            self._record(sending, result, "refund")

    def _begin(self, conn: Connection, refund: Refund) -> Refund | None:
        """Move the row to `sending` and return it, or None where a rail says no at this moment.

        Whoever had claimed it before is fenced off: only this call is made.
        """
        now = self.now()
        stopped = self._stopped_by(conn)
        if waits := _WAITS_FOR.keys() & stopped:
            wait = now + _KILL_SWITCH_PAUSE
            detail = _WAITS_FOR[min(waits)]
            ledger.change(conn, refund, now, detail=detail, due_at=wait, failing_since=None)
            return None
        sent = self._sent(now)
        if refund.nothing_carried_out:
            hold = self._last_rails(conn, refund, now.date().isoformat(), stopped)
            if hold is not None:
                self.hold(conn, refund, hold, by=RefundAction.HOLD)
                return None
        else:
            sent["first_sent_at"], sent["sent_day"] = refund.first_sent_at, refund.sent_day
        ledger.record_attempt(conn, refund, "refund", "sent", now)
        sent["uncertain"] = refund.uncertain
        return ledger.move(conn, refund, now, State.SENDING, by=RefundAction.CALL, **sent)

    def _sent(self, now: datetime) -> RefundChanges:
        """Return what the row says of a call that is made now, and is the first of its key."""
        return {
            "first_sent_at": now,
            "sent_day": now.date().isoformat(),
            "due_at": now + self.pace.lease,
        }

    def _last_rails(
        self, conn: Connection, refund: Refund, today: str, stopped: frozenset[str]
    ) -> Hold | None:
        assert refund.amount is not None
        if Switch.DRY_RUN in stopped:
            return guard.dry_run_hold(refund.amount)
        if not self.rails.max_per_day:
            return None
        ledger.count_alone(conn, today, refund.amount.currency)
        sent = ledger.sent_on(conn, today, refund.amount.currency, but=refund.id)
        return guard.over_day_cap(refund.amount, sent, self.rails)

    def _settle(self, refund: Refund) -> None:
        """Find out what became of a call that may have been carried out.

        Look first: it only reads. If the refund is not there and the key is certainly alive,
        the same request again is answered with what the first one did, or does it now.
        """
        alive = self._key_is_alive(refund)
        try:
            found = self._find(refund)
            if found is None and not alive and self._adopts(refund):
                return
        except AdapterError as error:
            self._cannot_look(refund, error)
            return
        if found is not None:
            self._record(refund, found, "find")
        elif alive:
            self._send(refund)
        else:
            self._park_unknown(refund)

    def _cannot_look(self, refund: Refund, error: AdapterError) -> None:
        verdict = outcomes.verdict(error.kind, uncertain=True)
        if verdict is Verdict.UNKNOWN:
            self._stay_unknown(refund, error, "find")
        else:
            self._park_unknown(refund, error, "find")

    def _find(self, refund: Refund) -> RefundResult | None:
        if not self.adapter.capabilities.lookup:
            return None
        with telemetry.processor_call(self.adapter.name, "find", **_ids(refund)):
            return self.adapter.find(_request(refund))

    def _key_is_alive(self, refund: Refund) -> bool:
        if refund.first_sent_at is None:
            # Never sent, as far as this store knows; but it may be an old backup.
            return self.adapter.capabilities.lookup
        lifetime = self.adapter.capabilities.key_lifetime
        return lifetime is not None and self._key_lives(refund.first_sent_at, lifetime)

    def _poll(self, refund: Refund) -> None:
        """Ask where a refund stands that the processor has accepted."""
        try:
            found = self._find(refund)
        except AdapterError as error:
            self._poll_later(refund, error)
            return
        if found is None:
            polls = refund.tries + 1
            wait = self.pace.next_poll(refund.state, polls, self._jitter())
            self._postpone(refund, wait, None, polls)
        else:
            self._record(refund, found, "find")

    def _poll_later(self, refund: Refund, error: AdapterError) -> None:
        log.warning("refund %s: %s (%s)", refund.id, error.kind, error.code, extra=_ids(refund))

        def record(conn: Connection) -> None:
            now = self.now()
            since = failing_since(refund.failing_since, refund.detail, error.message, now)
            due_at: datetime | None = now + self.pace.wait_on(now - since, self.pace.first_poll)
            if refund.state is State.SUCCEEDED and now - since >= self.pace.followed_for:
                due_at = None  # it could have failed until then
            changed = ledger.change(
                conn, refund, now, detail=error.message, failing_since=since, due_at=due_at
            )
            if error.kind is ErrorKind.KEY_CONFLICT:
                hold = Hold(Reason.PAID_TWICE, error.message)
                messages.tell_agents(conn, changed, hold, now)
            elif now - since >= self.pace.patience and refund.state in WAITING:
                messages.tell_agents(conn, changed, _NOT_TOLD, now)

        self.store.write("refund.postpone", record)

    # What came of a call.

    def _after_error(self, refund: Refund, error: AdapterError) -> None:
        log.warning("refund %s: %s (%s)", refund.id, error.kind, error.code, extra=_ids(refund))
        verdict = outcomes.verdict(error.kind, uncertain=refund.uncertain)
        if verdict is Verdict.AGAIN:
            self._try_again(refund, error)
        elif verdict is Verdict.UNKNOWN:
            self._stay_unknown(refund, error, "refund")
        elif verdict is Verdict.LOOK:
            self._look(refund, error)
        else:
            self._refused(refund, error)

    def _refused(self, refund: Refund, error: AdapterError) -> None:
        hold = outcomes.hold_for(error)
        assert hold is not None  # every refusal has its reason
        self._refuse(refund, hold, error)

    def _unsupported(self, refund: Refund, error: UnsupportedFeatureError) -> None:
        if refund.uncertain:
            # Said of this call only: an earlier one may have been carried out.
            self._park_unknown(refund, AdapterError(ErrorKind.CONFIG, f"{error}"))
        else:
            self._refuse(refund, Hold(Reason.UNSUPPORTED, f"{error}"))

    def _try_again(self, refund: Refund, error: AdapterError, call: str = "refund") -> None:
        now = self.now()
        with self.store.read() as conn:
            tried_since = ledger.tried_since(conn, refund) or now
        if now > tried_since + self.pace.patience:
            self._refuse(refund, Hold(Reason.UNREACHABLE, error.message), error, call)
            return
        self._retry_later(refund, error, call, State.REQUESTED)

    def _stay_unknown(self, refund: Refund, error: AdapterError, call: str) -> None:
        self._retry_later(refund, error, call, State.UNKNOWN)

    def _retry_later(self, refund: Refund, error: AdapterError, call: str, state: State) -> None:
        unknown = state is State.UNKNOWN

        def record(conn: Connection) -> None:
            now = self.now()
            _record_error(conn, refund, call, error, now)
            changed = ledger.move(
                conn,
                refund,
                now,
                state,
                by=RefundAction.LOSE_TRACK if unknown else RefundAction.POSTPONE,
                failing_since=failing_since(
                    refund.failing_since, refund.detail, error.message, now
                ),
                detail=error.message,
                tries=refund.tries + 1,
                uncertain=refund.uncertain or unknown,
                due_at=now + self.pace.retry_in(refund.tries, error.retry_after, self._jitter()),
            )
            self._tell_if_unknown_for_long(conn, changed, now)

        self.store.write("refund.outcome", record)

    def _tell_if_unknown_for_long(self, conn: Connection, refund: Refund, now: datetime) -> None:
        """Tell a person, once, and go on looking."""
        if refund.state is not State.UNKNOWN or refund.reason is not None:
            return
        since = refund.first_sent_at or ledger.tried_since(conn, refund) or refund.created_at
        if now > since + self.pace.patience:
            told = ledger.change(conn, refund, now, reason=_NOT_KNOWN.reason)
            messages.tell_held(conn, told, _NOT_KNOWN, now)
            self.announce(conn, told, now)

    def _look(self, refund: Refund, error: AdapterError) -> None:
        """The processor says that there is a refund: take it over if it is this one."""
        try:
            found = self._find(refund)
            if found is None and error.kind is ErrorKind.ALREADY_REFUNDED and self._adopts(refund):
                return
        except AdapterError as again:
            self._cannot_look(refund, again)
            return
        if found is not None:
            self._record(refund, found, "find")
        elif error.kind is ErrorKind.KEY_CONFLICT or not self.adapter.capabilities.lookup:
            self._park_unknown(refund, error)
        else:
            self._refused(refund, error)

    def _adopts(self, refund: Refund, *, waited: bool = False) -> bool:
        """Take over a refund made elsewhere that is just what was asked for; say if there is one.

        One that has `waited`, and of which nothing was paid, is held for any other that was made
        since its check, and that is said as well. Raises `AdapterError`.
        """
        if not self.adapter.capabilities.lookup:
            return False  # ours may have been made as well
        listed = self.intake.listed(_request(refund).payment) or ()

        def record(conn: Connection) -> bool:
            known = self.intake.settled(conn, refund, listed)
            if known is None:
                hold = self.intake.paid_since(conn, refund, listed) if waited else None
                if hold is not None:
                    # An approval was given before anybody knew of this.
                    self.hold(conn, refund, hold, by=RefundAction.HOLD, keep_approval=False)
                return hold is not None
            self.apply(conn, refund, replace(known.result, ours=False), by=RefundAction.FIND)
            return True

        return self.store.write("refund.outcome", record)

    def _refuse(
        self,
        refund: Refund,
        hold: Hold,
        error: AdapterError | None = None,
        call: str = "refund",
    ) -> None:
        """Nothing was paid: the processor said so, or was not asked. A person must look."""

        def record(conn: Connection) -> None:
            now = self.now()
            if error is not None:
                _record_error(conn, refund, call, error, now)
            else:
                ledger.record_attempt(
                    conn, refund, "refund", "unsupported", now, message=hold.detail
                )
            self.hold(conn, refund, hold, by=RefundAction.REFUSE)

        self.store.write("refund.outcome", record)

    def hold(
        self,
        conn: Connection,
        refund: Refund,
        hold: Hold,
        *,
        by: RefundAction,
        keep_approval: bool = True,
    ) -> Refund:
        """Let a refund of which nothing was paid wait for a person, whose approval may be kept.

        Raises `LeaseLostError` when the row was claimed since `refund` was read.
        """
        now = self.now()
        values: RefundChanges = {
            "reason": hold.reason,
            "detail": hold.detail,
            "uncertain": False,
            "sent_day": None,
            "due_at": None,
        }
        if not keep_approval:
            values |= NOT_APPROVED
        held = ledger.move(conn, refund, now, State.HELD, by=by, **values)
        messages.tell_held(conn, held, hold, now)
        self.announce(conn, held, now)
        return held

    def _park_unknown(
        self, refund: Refund, error: AdapterError | None = None, call: str = "refund"
    ) -> None:
        """Nobody can say what happened, and asking again could pay twice: a person must look."""
        said = "" if error is None else f" {error.message}"
        hold = Hold(_NOT_KNOWN.reason, f"{_NOT_KNOWN.detail}{said}")

        def record(conn: Connection) -> None:
            now = self.now()
            if error is not None:
                _record_error(conn, refund, call, error, now)
            else:
                ledger.record_attempt(conn, refund, "find", "none", now)
            parked = ledger.move(
                conn,
                refund,
                now,
                State.UNKNOWN,
                by=RefundAction.LOSE_TRACK,
                reason=hold.reason,
                detail=hold.detail,
                uncertain=True,
                due_at=None,
            )
            messages.tell_held(conn, parked, hold, now)
            if refund.reason is None:
                self.announce(conn, parked, now)

        self.store.write("refund.outcome", record)

    def _record(self, refund: Refund, result: RefundResult, call: str) -> None:
        try:
            by = RefundAction.ANSWER if call == "refund" else RefundAction.FIND
            changed = self.store.write(
                "refund.outcome", lambda conn: self.apply(conn, refund, result, by=by)
            )
        except ledger.TakenError as error:
            # Looking again would find the same, for ever.
            self._park_unknown(refund, AdapterError(ErrorKind.KEY_CONFLICT, f"{error}."), call)
            return
        log.info("refund %s is %s", changed.id, changed.state, extra=_ids(changed))

    def apply(
        self, conn: Connection, refund: Refund, result: RefundResult, *, by: RefundAction
    ) -> Refund:
        """Write what the processor says of a refund into its row; return the row as it is then.

        Whoever has read the row before, and asked the processor earlier, can write no more.
        Raises `LeaseLostError` when that has happened to `refund`.
        """
        now = self.now()
        ledger.record_attempt(
            conn,
            refund,
            _CALLS[by],
            result.status,
            now,
            processor_id=result.processor_id,
            code=result.failure_reason,
            request_id=result.request_id,
        )
        state, hold = outcomes.standing(refund, result)
        polls = refund.tries + 1 if state is refund.state else 0
        followed = result.ours and self.adapter.capabilities.lookup
        wait = self.pace.next_poll(state, polls, self._jitter()) if followed else None
        changed = ledger.move(
            conn,
            refund,
            now,
            state,
            by=by,
            processor_id=result.processor_id,
            adopted=not result.ours,
            arn=result.arn or refund.arn,
            failure_reason=result.failure_reason,
            uncertain=False,
            tries=polls,
            due_at=None if wait is None else now + wait,
            reason=hold.reason if hold else None,
            detail=hold.detail if hold else None,
        )
        self._tell(conn, refund, changed, now, again=by is not RefundAction.ANSWER)
        return changed

    def _tell(
        self, conn: Connection, before: Refund, after: Refund, now: datetime, *, again: bool
    ) -> None:
        if _told_of(before) == _told_of(after):
            return
        if before.state is not after.state:
            self.announce(conn, after, now)
        if after.reason is not None:
            messages.tell_held(conn, after, messages.hold_of(after), now)
        else:
            messages.tell_outcome(conn, after, now, again=again)
        if after.adopted:
            messages.tell_adopted(conn, after, now)

    def _postpone(
        self, refund: Refund, wait: timedelta | None, detail: str | None, tries: int | None = None
    ) -> None:
        tries = refund.tries if tries is None else tries

        def record(conn: Connection) -> None:
            now = self.now()
            due_at = None if wait is None else now + wait
            ledger.change(conn, refund, now, detail=detail, due_at=due_at, tries=tries)

        self.store.write("refund.postpone", record)


def _request(refund: Refund) -> RefundRequest:
    """Return the request of this row: the same row always gives the same one."""
    assert refund.payment is not None
    assert refund.amount is not None
    return RefundRequest(
        refund_id=refund.id,
        idempotency_key=refund.idempotency_key,
        payment=PaymentRef(**refund.payment),
        amount=refund.amount,
        workspace_id=refund.workspace_id,
        ticket_id=refund.ticket_id,
        order_id=refund.order_id,
        instructions_email=refund.instructions_email,
    )


def _ids(refund: Refund) -> dict[str, str | None]:
    return telemetry.ids(ticket_id=refund.ticket_id, refund_id=refund.id)


def _told_of(refund: Refund) -> tuple[object, ...]:
    """Return what of a refund the ticket shows."""
    return refund.state, refund.reason, refund.arn


def _record_error(
    conn: Connection, refund: Refund, call: str, error: AdapterError, now: datetime
) -> None:
    ledger.record_attempt(
        conn,
        refund,
        call,
        error.kind,
        now,
        code=error.code,
        request_id=error.request_id,
        message=error.message,
    )
