"""Writes the result for a refund into its row, with the messages about it, in one transaction.

`transitions` and `outcomes` define which move follows; this module carries it out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Unpack

from sqlalchemy import Connection

from dispatch_returns import telemetry
from dispatch_returns.clock import Clock
from dispatch_returns.errors import (
    AdapterError,
    APIError,
    ErrorKind,
    NotShownError,
    UnsupportedFeatureError,
)
from dispatch_returns.refunds import attempts, ledger, messages, outcomes
from dispatch_returns.refunds.adapter import RefundResult
from dispatch_returns.refunds.guard import Hold, Reason
from dispatch_returns.refunds.ledger import Refund, RefundChanges
from dispatch_returns.refunds.listener import RefundListener
from dispatch_returns.refunds.processors import SETTING, Adapters
from dispatch_returns.refunds.retry_schedule import WAITING, RetrySchedule
from dispatch_returns.refunds.taken_back import deleted
from dispatch_returns.refunds.transitions import RefundAction, State
from dispatch_returns.store import Store
from dispatch_returns.store.queue import failing_since

log = logging.getLogger(__name__)

_CALLS: Mapping[RefundAction, str] = {
    RefundAction.ANSWER: "refund",
    RefundAction.FIND: "find",
    RefundAction.REPORT: "event",
    RefundAction.CONFIRM: "confirm",
}
"""The name of the attempt that brought the processor's answer, by action."""
_SOON = timedelta(minutes=1)
_NOT_TOLD = Hold(
    Reason.STATUS_UNKNOWN,
    "The processor accepted this refund, and for a day it has not said how it stands.",
)
_NO_WORD = Hold(
    Reason.STATUS_UNKNOWN,
    "The processor accepted this refund, and its webhook has not said how it ended.",
)
_NOT_KNOWN = Hold(Reason.OUTCOME_UNKNOWN, "It is not known whether this refund was paid.")
NOT_APPROVED: RefundChanges = {
    "approved_by": None,
    "approved_minor": None,
    "approved_detail": None,
}
"""The values of a row without an approval, or with an approval that its doubts outdate."""


class Recorder:
    """Records the results for refunds.

    Each method raises `LeaseLostError`, and writes nothing, when the row was claimed or moved since
    `refund` was read.
    """

    def __init__(
        self,
        store: Store,
        adapters: Adapters,
        schedule: RetrySchedule,
        *,
        clock: Clock,
        jitter: Callable[[], float],
        listener: RefundListener,
    ) -> None:
        self._store = store
        self._adapters = adapters
        self._schedule = schedule
        self._now = clock
        self._jitter = jitter
        self._listener = listener

    # Inside the caller's transaction.

    def hold(
        self,
        conn: Connection,
        refund: Refund,
        hold: Hold,
        *,
        by: RefundAction,
        keep_approval: bool = True,
    ) -> Refund:
        """Hold a refund of which nothing was paid for a person; return it as it is afterwards."""
        now = self._now()
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
        messages.report_hold(conn, held, hold, now)
        self._listener(conn, held, now)
        return held

    def apply(
        self, conn: Connection, refund: Refund, result: RefundResult, *, by: RefundAction
    ) -> Refund:
        """Write what the processor says about a refund into its row; return the row afterwards.

        `by` says how the processor's word arrived. The ticket is updated where it would show
        something new.
        """
        now = self._now()
        attempts.record(
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
        assert refund.adapter is not None  # which has just said so
        can = self._adapters[refund.adapter].capabilities
        wait: timedelta | None = None
        if result.ours and can.follows:
            wait = self._schedule.next_poll(state, polls, self._jitter())
        elif result.ours and state in WAITING and not can.manual:
            wait = self._schedule.longest_poll
        after = ledger.move(
            conn,
            refund,
            now,
            state,
            by=by,
            reason=hold.reason if hold else None,
            detail=hold.detail if hold else None,
            processor_id=result.processor_id,
            adopted=not result.ours,
            arn=result.arn or refund.arn,
            failure_reason=result.failure_reason,
            uncertain=False,
            tries=polls,
            due_at=None if wait is None else now + wait,
        )
        if (refund.state, refund.reason, refund.arn) == (after.state, after.reason, after.arn):
            return after
        if refund.state is not after.state:
            self._listener(conn, after, now)
        if after.reason is not None:
            messages.report_hold(conn, after, messages.hold_of(after), now)
        else:
            again = by is not RefundAction.ANSWER
            messages.report_outcome(conn, after, now, again=again)
        if after.adopted:
            messages.report_adoption(conn, after, now)
        return after

    # Each in a transaction of its own.

    def record(self, refund: Refund, result: RefundResult, *, by: RefundAction) -> None:
        """Like `apply`; a refund that belongs to another row is left to a person."""
        try:
            after = self._store.write(
                "refund.outcome", lambda conn: self.apply(conn, refund, result, by=by)
            )
        except ledger.TakenError as error:
            # Another look would find the same, forever.
            self.park(refund, AdapterError(ErrorKind.KEY_CONFLICT, f"{error}."), _CALLS[by])
            return
        log.info(
            "refund %s of %s: %s %s",
            after.id,
            after.ticket_id,
            after.amount or "no amount",
            after.state,
            extra=ids_of(after),
        )

    def refuse(
        self, refund: Refund, hold: Hold, error: AdapterError | None = None, call: str = "refund"
    ) -> None:
        """Hold a refund that the processor refused, or was not asked for: nothing was paid."""

        def write(conn: Connection) -> None:
            now = self._now()
            if error is not None:
                _record_error(conn, refund, call, error, now)
            else:
                attempts.record(conn, refund, "refund", "unsupported", now, message=hold.detail)
            self.hold(conn, refund, hold, by=RefundAction.REFUSE)

        self._store.write("refund.outcome", write)

    def unsupported(self, refund: Refund, error: UnsupportedFeatureError) -> None:
        """Leave to a person what the processor has no way to express."""
        if refund.uncertain:
            # This describes this call only: an earlier one may have been carried out.
            self.park(refund, AdapterError(ErrorKind.CONFIG, f"{error}"))
        else:
            self.refuse(refund, Hold(Reason.UNSUPPORTED, f"{error}"))

    def retry(self, refund: Refund, error: AdapterError, call: str = "refund") -> None:
        """Retry later a call that was certainly not carried out, as long as `patience` lasts."""
        now = self._now()
        with self._store.read() as conn:
            tried_since = attempts.tried_since(conn, refund) or now
        if now > tried_since + self._schedule.patience:
            self.refuse(refund, Hold(Reason.UNREACHABLE, error.message), error, call)
        else:
            self._try_later(refund, error, call, State.REQUESTED, RefundAction.POSTPONE)

    def defer(self, refund: Refund, error: AdapterError) -> None:
        """Ask again with a new key once the payment is settled, for as long as `settlement`."""
        now = self._now()
        if now > refund.entered_at + self._schedule.settlement:
            self.refuse(refund, Hold(Reason.NOT_SETTLED, error.message), error)
            return

        def write(conn: Connection) -> None:
            _record_error(conn, refund, "refund", error, now)
            ledger.move(
                conn,
                refund,
                now,
                State.REQUESTED,
                by=RefundAction.DEFER,
                new_key=True,
                detail=error.message,
                due_at=now + self._schedule.settled_in(error.retry_after),
                failing_since=None,
            )

        self._store.write("refund.outcome", write)

    def no_word(self, refund: Refund) -> None:
        """Wait on for the webhook of an accepted refund; at the end, notify a person once.

        A row never waits for longer than a poll: `ClockCheck` brings forward what does.
        """
        now = self._now()
        rest = (refund.first_sent_at or refund.entered_at) + self._schedule.word - now
        if rest > timedelta():
            self._postpone(refund, due_at=now + min(rest, self._schedule.longest_poll))
            return
        self._postpone(refund, _NO_WORD, detail=_NO_WORD.detail, due_at=None)

    def look_later(self, refund: Refund, error: AdapterError, call: str) -> None:
        """Look later for a refund that may have been carried out; after a day, say so."""
        self._try_later(refund, error, call, State.UNKNOWN, RefundAction.LOSE_TRACK)

    def cannot_look(self, refund: Refund, error: AdapterError) -> None:
        """Look again later, or leave it to a person if the processor will never answer."""
        if outcomes.verdict(error.kind, uncertain=True) is outcomes.NextStep.UNKNOWN:
            self.look_later(refund, error, "find")
        else:
            self.park(refund, error, "find")

    def park(self, refund: Refund, error: AdapterError | None = None, call: str = "refund") -> None:
        """Leave to a person what may have been paid, where another request could pay twice."""
        said = "" if error is None else f" {error.message}"
        hold = Hold(_NOT_KNOWN.reason, f"{_NOT_KNOWN.detail}{said}")

        def write(conn: Connection) -> None:
            now = self._now()
            if error is not None:
                _record_error(conn, refund, call, error, now)
            else:
                attempts.record(conn, refund, "find", "none", now)
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
            messages.report_hold(conn, parked, hold, now)
            if refund.reason is None:
                self._listener(conn, parked, now)

        self._store.write("refund.outcome", write)

    def rest(self, refund: Refund) -> None:
        """Stop scheduling a row for which nothing more is expected."""
        self._postpone(refund, due_at=None)

    def follow_later(self, refund: Refund) -> None:
        """Look again later at an accepted refund that the processor does not show now.

        Where it should still change, a person is notified after a day, once.
        """
        now = self._now()
        polls = refund.tries + 1
        wait = self._schedule.next_poll(refund.state, polls, self._jitter())
        since = failing_since(refund.failing_since, refund.detail, ledger.NOT_SHOWN, now)
        told = now - since >= self._schedule.patience and refund.state in WAITING
        self._postpone(
            refund,
            _NOT_TOLD if told else None,
            detail=ledger.NOT_SHOWN,
            due_at=None if wait is None else now + wait,
            tries=polls,
            failing_since=since,
        )

    def cannot_follow(self, refund: Refund, error: AdapterError) -> None:
        """Look again later at an accepted refund while the processor cannot say how it stands."""
        now = self._now()
        since = failing_since(refund.failing_since, refund.detail, error.message, now)
        due_at: datetime | None = now + self._schedule.wait_on(
            now - since, self._schedule.first_poll
        )
        if refund.state is State.SUCCEEDED and now - since >= self._schedule.followed_for:
            due_at = None  # until then it could have failed
        told = None
        if error.kind is ErrorKind.KEY_CONFLICT:
            told = Hold(Reason.PAID_TWICE, error.message)
        elif now - since >= self._schedule.patience and refund.state in WAITING:
            told = _NOT_TOLD
        self._postpone(refund, told, detail=error.message, due_at=due_at, failing_since=since)

    def wait_for_adapter(self, refund: Refund) -> None:
        """Postpone a refund of another adapter; after a day, notify people once and wait on."""
        now = self._now()
        detail = f"{ledger.WAITS_FOR_ADAPTER} {refund.adapter}"
        since = failing_since(refund.failing_since, refund.detail, detail, now)
        why = (
            f"It was begun with the adapter {refund.adapter}, and {SETTING} is"
            f" {', '.join(self._adapters)} now."
        )
        finished = refund.state in {State.SUCCEEDED, State.VOIDED, State.FAILED, State.CANCELED}
        told = now - since >= self._schedule.patience and not finished
        self._postpone(
            refund,
            Hold(Reason.UNREACHABLE, why) if told else None,
            detail=detail,
            due_at=now + self._schedule.wait_on(now - since, _SOON),
            failing_since=since,
        )

    def wait_for_ticket(self, refund: Refund, error: APIError) -> None:
        """Postpone a refund whose ticket cannot be read; after a day without it, hold it."""
        said = type(error).__name__
        log.warning(
            "refund %s: its ticket cannot be read: %s", refund.id, said, extra=ids_of(refund)
        )
        missing = isinstance(error, NotShownError) and error.missing
        detail = f"The ticket {'is not found' if missing else 'cannot be read'}: {error.message}"
        now = self._now()
        since = failing_since(refund.failing_since, refund.detail, detail, now)
        if missing and now - since >= self._schedule.patience:
            hold, by = deleted(refund), RefundAction.HOLD
            self._store.write("refund.postpone", lambda conn: self.hold(conn, refund, hold, by=by))
            return
        self._postpone(
            refund,
            detail=detail,
            due_at=now + self._schedule.retry_in(refund.tries, None, self._jitter()),
            tries=refund.tries + 1,
            failing_since=since,
        )

    def _postpone(
        self, refund: Refund, told: Hold | None = None, **values: Unpack[RefundChanges]
    ) -> None:
        """Change when the row is due, and what it waits for; agents read `told` in a note."""

        def write(conn: Connection) -> None:
            now = self._now()
            changed = ledger.change(conn, refund, now, **values)
            if told is not None:
                messages.add_agent_note(conn, changed, told, now)

        self._store.write("refund.postpone", write)

    def _try_later(
        self, refund: Refund, error: AdapterError, call: str, state: State, by: RefundAction
    ) -> None:
        def write(conn: Connection) -> None:
            now = self._now()
            _record_error(conn, refund, call, error, now)
            wait = self._schedule.retry_in(refund.tries, error.retry_after, self._jitter())
            since = failing_since(refund.failing_since, refund.detail, error.message, now)
            after = ledger.move(
                conn,
                refund,
                now,
                state,
                by=by,
                detail=error.message,
                tries=refund.tries + 1,
                uncertain=refund.uncertain or state is State.UNKNOWN,
                due_at=now + wait,
                failing_since=since,
            )
            if state is not State.UNKNOWN or after.reason is not None:
                return
            asked_at = after.first_sent_at or attempts.tried_since(conn, after) or after.created_at
            if now > asked_at + self._schedule.patience:  # notify a person, once; it goes on
                after = ledger.change(conn, after, now, reason=_NOT_KNOWN.reason)
                messages.report_hold(conn, after, _NOT_KNOWN, now)
                self._listener(conn, after, now)

        self._store.write("refund.outcome", write)


def ids_of(refund: Refund) -> dict[str, str | None]:
    """Return the ids that a log line about `refund` names."""
    return telemetry.ids(ticket_id=refund.ticket_id, refund_id=refund.id)


def _record_error(
    conn: Connection, refund: Refund, call: str, error: AdapterError, now: datetime
) -> None:
    attempts.record(
        conn,
        refund,
        call,
        error.kind,
        now,
        code=error.code,
        request_id=error.request_id,
        message=error.message,
    )
