"""The refund service: takes an intent to pay back to its end, exactly once.

The ledger row is written before the first call, and says before each call that it is made. So
whatever dies and wherever, the row tells what may have happened, and what may have happened is
looked up or asked again with the same idempotency key, never with a new one.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    LeaseLostError,
    UnsupportedFeatureError,
)
from dispatch_returns.refunds import guard, notices, outcomes
from dispatch_returns.refunds.adapter import (
    PaymentRef,
    RefundAdapter,
    RefundRequest,
    RefundResult,
)
from dispatch_returns.refunds.clock import Clock, utc_now
from dispatch_returns.refunds.facts import PaymentResolver
from dispatch_returns.refunds.guard import Hold, Rails, Reason
from dispatch_returns.refunds.intake import Intake
from dispatch_returns.refunds.outcomes import Verdict
from dispatch_returns.store import Store, ledger
from dispatch_returns.store.ledger import Refund, State
from dispatch_returns.store.queue import backoff

log = logging.getLogger(__name__)

_KEY_MARGIN = timedelta(hours=1)
"""A key this close to the end of its life may be gone when the request arrives."""
_PATIENCE = timedelta(hours=24)
"""How long a processor may be out of reach before a person is told."""
_KILL_SWITCH_PAUSE = timedelta(minutes=1)
_WAITING = frozenset({State.PENDING, State.REQUIRES_ACTION})


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things may take: `lease` must be longer than three calls to the processor.

    ``follow_ups``: when a refund that succeeded is looked at again, each after the one before.
    The bank's tracing number comes later, and a refund can still fail for 30 days
    (https://docs.stripe.com/refunds#failed-refunds).
    """

    lease: timedelta = timedelta(minutes=3)
    first_retry: timedelta = timedelta(seconds=5)
    longest_retry: timedelta = timedelta(hours=1)
    first_poll: timedelta = timedelta(minutes=5)
    longest_poll: timedelta = timedelta(hours=6)
    follow_ups: tuple[timedelta, ...] = (
        timedelta(hours=1),
        timedelta(days=1),
        timedelta(days=6),
        timedelta(days=23),
    )


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
    ) -> None:
        self.store = store
        self.adapter = adapter
        self.rails = rails or Rails()
        self.pace = pace or Pace()
        self.intake = Intake(adapter, resolver, self.rails, clock)
        self.now = clock
        self._jitter = jitter

    # From a row of the ledger to its end.

    def claim(self, limit: int) -> list[Refund]:
        """Take up to `limit` refunds whose next step is due."""
        lease = self.pace.lease
        return self.store.write(
            "refund.claim", lambda conn: ledger.claim(conn, self.now(), lease, limit)
        )

    def advance(self, refund: Refund) -> None:
        """Take a claimed refund one step further.

        Errors of the processor become states. A row that another worker has taken over
        meanwhile is left to it.
        """
        try:
            self._advance(refund)
        except LeaseLostError:
            log.info("refund %s was taken over by another worker", refund.id)

    def _advance(self, refund: Refund) -> None:
        if refund.adapter != self.adapter.name:
            detail = f"waits for the adapter {refund.adapter}"
            self._postpone(refund, self.pace.longest_retry, detail)
        elif refund.state in _WAITING or refund.state is State.SUCCEEDED:
            self._poll(refund)
        elif refund.state is State.REQUESTED and not refund.uncertain:
            self._send(refund)
        elif refund.state in {State.REQUESTED, State.SENDING, State.UNKNOWN}:
            # A row found in `sending` was left there by a worker that died.
            self._settle(replace(refund, uncertain=True))
        else:
            self._postpone(refund, None, refund.detail)

    def _send(self, refund: Refund) -> None:
        """Say in the ledger that the call is made, make it, and record what came of it."""
        if self.rails.kill_switch:
            self._postpone(refund, _KILL_SWITCH_PAUSE, "the kill switch is on")
            return
        sending = self.store.write("refund.sending", lambda conn: self._begin(conn, refund))
        if sending.state is not State.SENDING:
            return
        try:
            result = self.adapter.refund(_request(sending))
        except UnsupportedFeatureError as error:
            self._refuse(sending, Hold(Reason.UNSUPPORTED, f"{error}"), "unsupported")
        except AdapterError as error:
            self._after_error(sending, error)
        else:
            self._record(sending, result, "refund")

    def _begin(self, conn: Connection, refund: Refund) -> Refund:
        """Move the row to `sending`, or to `held` when a rail says so at this last moment."""
        now = self.now()
        today = now.date().isoformat()
        if not refund.uncertain and refund.first_sent_at is None:
            hold = self._last_rails(conn, refund, today)
            if hold is not None:
                return self._hold(conn, refund, hold, now)
        ledger.record_attempt(conn, refund, "refund", "sent", now)
        return ledger.change(
            conn,
            refund,
            now,
            state=State.SENDING,
            uncertain=refund.uncertain,
            first_sent_at=refund.first_sent_at or now,
            sent_day=refund.sent_day or today,
            due_at=now + self.pace.lease,
        )

    def _last_rails(self, conn: Connection, refund: Refund, today: str) -> Hold | None:
        assert refund.amount is not None
        if self.rails.dry_run:
            return guard.dry_run_hold(refund.amount)
        sent = ledger.sent_on(conn, today, refund.amount.currency)
        return guard.over_day_cap(refund.amount, sent, self.rails)

    def _settle(self, refund: Refund) -> None:
        """Find out what became of a call that may have been carried out.

        Look first: it only reads. If the refund is not there and the key is certainly alive,
        the same request again is answered with what the first one did, or does it now.
        """
        try:
            found = self._find(refund)
        except AdapterError as error:
            self._stay_unknown(refund, error, "find")
            return
        if found is not None and (found.ours or not self._key_is_alive(refund)):
            self._record(refund, found, "find")
        elif self._key_is_alive(refund):
            self._send(refund)
        else:
            self._park_unknown(refund)

    def _find(self, refund: Refund) -> RefundResult | None:
        if not self.adapter.capabilities.lookup:
            return None
        return self.adapter.find(_request(refund))

    def _key_is_alive(self, refund: Refund) -> bool:
        if refund.first_sent_at is None:
            return True
        lifetime = self.adapter.capabilities.key_lifetime
        if lifetime is None:
            return False
        return self.now() < refund.first_sent_at + lifetime - _KEY_MARGIN

    def _poll(self, refund: Refund) -> None:
        """Ask where a refund stands that the processor has accepted."""
        try:
            found = self._find(refund)
        except AdapterError as error:
            log.warning("refund %s: %s (%s)", refund.id, error.kind, error.code)
            self._postpone(refund, self._poll_in(refund.tries), refund.detail)
            return
        if found is None or not found.ours:
            self._postpone(refund, self._poll_in(refund.tries), refund.detail)
        else:
            self._record(refund, found, "find")

    # What came of a call.

    def _after_error(self, refund: Refund, error: AdapterError) -> None:
        log.warning("refund %s: %s (%s)", refund.id, error.kind, error.code)
        verdict = outcomes.verdict(error.kind, uncertain=refund.uncertain)
        if verdict is Verdict.AGAIN:
            self._try_again(refund, error)
        elif verdict is Verdict.UNKNOWN:
            self._stay_unknown(refund, error, "refund")
        elif verdict is Verdict.LOOK:
            self._look(refund, error)
        else:
            hold = outcomes.hold_for(error)
            assert hold is not None, "every refusal has its reason"
            self._refuse(refund, hold, error.kind, error)

    def _try_again(self, refund: Refund, error: AdapterError) -> None:
        if self.now() - (refund.first_sent_at or refund.created_at) > _PATIENCE:
            self._refuse(refund, Hold(Reason.UNREACHABLE, error.message), error.kind, error)
            return
        self._retry_later(refund, error, "refund", state=State.REQUESTED)

    def _stay_unknown(self, refund: Refund, error: AdapterError, call: str) -> None:
        self._retry_later(refund, error, call, state=State.UNKNOWN, uncertain=True)

    def _retry_later(
        self, refund: Refund, error: AdapterError, call: str, **values: object
    ) -> None:
        def record(conn: Connection) -> None:
            now = self.now()
            _record_error(conn, refund, call, error, now)
            ledger.change(
                conn,
                refund,
                now,
                detail=error.message,
                tries=refund.tries + 1,
                due_at=now + self._retry_in(refund, error),
                **values,
            )

        self.store.write("refund.outcome", record)

    def _look(self, refund: Refund, error: AdapterError) -> None:
        """The processor says that there is a refund: take it over, whoever made it."""
        try:
            found = self._find(refund)
        except AdapterError as again:
            self._stay_unknown(refund, again, "find")
            return
        if found is not None and (found.ours or error.kind is ErrorKind.ALREADY_REFUNDED):
            self._record(refund, found, "find")
        elif error.kind is ErrorKind.KEY_CONFLICT or not self.adapter.capabilities.lookup:
            self._park_unknown(refund, error)
        else:
            hold = outcomes.hold_for(error) or Hold(Reason.REJECTED, error.message)
            self._refuse(refund, hold, error.kind, error)

    def _refuse(
        self, refund: Refund, hold: Hold, outcome: str, error: AdapterError | None = None
    ) -> None:
        """The processor has said that nothing was paid: a person must look."""

        def record(conn: Connection) -> None:
            now = self.now()
            if error is not None:
                _record_error(conn, refund, "refund", error, now)
            else:
                ledger.record_attempt(conn, refund, "refund", outcome, now, message=hold.detail)
            self._hold(conn, refund, hold, now)

        self.store.write("refund.outcome", record)

    def _hold(self, conn: Connection, refund: Refund, hold: Hold, now: datetime) -> Refund:
        held = ledger.change(
            conn,
            refund,
            now,
            state=State.HELD,
            reason=hold.reason,
            detail=hold.detail,
            uncertain=False,
            sent_day=None,
            due_at=None,
        )
        notices.tell_held(conn, held, hold, now)
        return held

    def _park_unknown(self, refund: Refund, error: AdapterError | None = None) -> None:
        """Nobody can say what happened, and asking again could pay twice: a person must look."""
        hold = Hold(Reason.OUTCOME_UNKNOWN, "It is not known whether this refund was paid.")

        def record(conn: Connection) -> None:
            now = self.now()
            if error is not None:
                _record_error(conn, refund, "refund", error, now)
            else:
                ledger.record_attempt(conn, refund, "find", "none", now)
            parked = ledger.change(
                conn,
                refund,
                now,
                state=State.UNKNOWN,
                reason=hold.reason,
                detail=hold.detail,
                uncertain=True,
                due_at=None,
            )
            notices.tell_change(conn, parked, now)
            notices.tell_agents(conn, parked, hold, now)

        self.store.write("refund.outcome", record)

    def _record(self, refund: Refund, result: RefundResult, call: str) -> None:
        self.store.write("refund.outcome", lambda conn: self.apply(conn, refund, result, call=call))

    def apply(self, conn: Connection, refund: Refund, result: RefundResult, *, call: str) -> Refund:
        """Write what the processor says of a refund into its row; return the row as it is then.

        Raises `LeaseLostError` when the row was claimed since `refund` was read.
        """
        now = self.now()
        ledger.record_attempt(
            conn,
            refund,
            call,
            result.status,
            now,
            processor_id=result.processor_id,
            code=result.failure_reason,
            request_id=result.request_id,
        )
        state, explained = _state_of(refund, result)
        changed = ledger.change(
            conn,
            refund,
            now,
            state=state,
            processor_id=result.processor_id,
            adopted=not result.ours,
            arn=result.arn or refund.arn,
            failure_reason=result.failure_reason,
            uncertain=False,
            tries=refund.tries + 1 if state is refund.state else 0,
            due_at=self._next_poll(refund, state, result, now),
            **explained,
        )
        self._tell(conn, refund, changed, now)
        return changed

    def _tell(self, conn: Connection, before: Refund, after: Refund, now: datetime) -> None:
        if (before.state, before.arn) == (after.state, after.arn):
            return
        notices.tell_change(conn, after, now)
        notices.tell_customer(conn, after, now)
        if after.adopted:
            notices.tell_adopted(conn, after, now)
        if after.reason is not None:
            hold = Hold(Reason(after.reason), after.detail or "")
            notices.tell_agents(conn, after, hold, now)

    def _next_poll(
        self, refund: Refund, state: State, result: RefundResult, now: datetime
    ) -> datetime | None:
        if not self.adapter.capabilities.lookup or not result.ours:
            return None
        polls = refund.tries + 1 if state is refund.state else 0
        if state in _WAITING:
            return now + self._poll_in(polls)
        if state is State.SUCCEEDED and polls < len(self.pace.follow_ups):
            return now + self.pace.follow_ups[polls]
        return None

    def _poll_in(self, tries: int) -> timedelta:
        pace = self.pace
        return backoff(tries, self._jitter(), first=pace.first_poll, longest=pace.longest_poll)

    def _retry_in(self, refund: Refund, error: AdapterError) -> timedelta:
        if error.retry_after is not None:
            asked = timedelta(seconds=max(0.0, error.retry_after))
            return min(asked, self.pace.longest_retry)
        pace = self.pace
        return backoff(
            refund.tries, self._jitter(), first=pace.first_retry, longest=pace.longest_retry
        )

    def _postpone(self, refund: Refund, wait: timedelta | None, detail: str | None) -> None:
        def record(conn: Connection) -> None:
            now = self.now()
            due_at = None if wait is None else now + wait
            ledger.change(conn, refund, now, detail=detail, due_at=due_at)

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


def _state_of(refund: Refund, result: RefundResult) -> tuple[State, dict[str, object]]:
    """Return the state that `result` means, and what a person must know about it."""
    if result.ours and result.amount != refund.amount:
        detail = f"The processor has a refund of {result.amount} instead of {refund.amount}."
        return State.UNKNOWN, {"reason": Reason.AMOUNT_DIFFERS, "detail": detail}
    state = State(result.status)
    if state is State.FAILED:
        detail = f"The processor says: {result.failure_reason or 'no reason given'}."
        return state, {"reason": Reason.REFUND_FAILED, "detail": detail}
    if state is State.CANCELED:
        detail = "The refund was canceled at the processor."
        return state, {"reason": Reason.REFUND_CANCELED, "detail": detail}
    return state, {"reason": None, "detail": None}


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
