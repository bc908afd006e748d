"""Takes returns through their steps: reads the ticket, decides, writes it down, does it.

An event says only that something changed. What follows is decided from the ticket's status as
the API gives it now, and from our row. Where the status differs from the row's, somebody has
moved the ticket, and that counts: it is recorded, and gone on from.

A move of ours is written into the row first and onto the ticket then. After a crash in between
the ticket shows whether it was made, so it is made once, and is never taken for somebody's.
"""

from __future__ import annotations

import logging
import random
import traceback
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from dispatch_returns import telemetry
from dispatch_returns.client import DispatchClient, Ticket
from dispatch_returns.clock import Clock
from dispatch_returns.errors import (
    AdapterError,
    APIError,
    LabelError,
    LeaseLostError,
    NotShownError,
    StoreError,
    TicketDeletedError,
    TransitionError,
    ValidationError,
    WorkflowError,
)
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.intake import Intake
from dispatch_returns.refunds.ticket_facts import removal_of
from dispatch_returns.returns import records
from dispatch_returns.returns.label_records import LabelState
from dispatch_returns.returns.owners import Owners
from dispatch_returns.returns.records import NewDecision, Return, ReturnChanges
from dispatch_returns.returns.steps import timers
from dispatch_returns.returns.steps.assignment import Reviewers
from dispatch_returns.returns.steps.eligibility import Eligibility, values_of
from dispatch_returns.returns.steps.labelling import PATIENCE, Labelling
from dispatch_returns.returns.steps.messages import tell_agents, tell_customer, told_on_arrival
from dispatch_returns.returns.steps.ownership import Ownership
from dispatch_returns.returns.steps.plan import (
    SOMEBODY,
    US,
    Move,
    OutdatedError,
    Plan,
    Situation,
    Told,
)
from dispatch_returns.returns.steps.protocols import Parts
from dispatch_returns.returns.steps.receiving import Receiving
from dispatch_returns.returns.steps.request import claimed_by, request_of
from dispatch_returns.returns.steps.statuses import Statuses
from dispatch_returns.returns.steps.terms import Terms
from dispatch_returns.returns.tickets import Tickets
from dispatch_returns.returns.transitions import (
    BEGINS,
    TAKES_PARCELS,
    TRANSITIONS,
    ReturnAction,
    Step,
)
from dispatch_returns.store import Store
from dispatch_returns.store.queue import backoff, failing_since
from dispatch_returns.telemetry import Span, ids

log = logging.getLogger(__name__)

_FOR_THE_OWNER = TAKES_PARCELS - {Step.REVIEW, Step.EXPIRED, Step.ELSEWHERE}
"""Where the ticket's customer is shown, sent or paid something of the order."""
_LOOK_AGAIN = timedelta(hours=1)


class ReturnsEngine:
    """Deals with one return at a time. Safe to run in many threads."""

    def __init__(
        self,
        store: Store,
        client: DispatchClient,
        parts: Parts,
        intake: Intake,
        owners: Owners,
        *,
        workspace: Callable[[], str],
        statuses: Statuses,
        lease: timedelta,
        first_retry: timedelta,
        patience: timedelta,
        clock: Clock,
    ) -> None:
        self._store = store
        self._client = client
        self._tickets = Tickets(store, client)
        self._book = parts.book
        self._evidence = intake.rails.evidence
        self._tells = parts.notifier is not None
        self._workspace = workspace
        self._statuses = statuses
        self._lease = lease
        self._first_retry = first_retry
        self._patience = patience
        self._clock = clock
        self._reviewers = Reviewers(client, clock)
        self._ownership = Ownership(store, parts, owners)
        self._eligibility = Eligibility(store, parts, owners)
        self._labelling = Labelling(store, client, parts, owners, lease=lease, clock=clock)
        self._receiving = Receiving(store, parts, intake)

    # From an event to a return that is due.

    def is_return(self, ticket: Ticket) -> bool:
        """Whether a ticket is, or now becomes, a return that walks the steps."""
        with self._store.read() as conn:
            known = records.get(conn, records.return_id(self._workspace(), ticket.id))
        return known is not None or self._statuses.step(ticket.status) in BEGINS

    def notice(self, conn: Connection, ticket: Ticket, asked_at: datetime | None = None) -> None:
        """Let the return of `ticket` be looked at, where there is something new to see.

        Inside the caller's transaction. Our own writes to the ticket come back as events, and
        are nothing new. `asked_at` is when a ticket that is new to us became a return, by default
        now.
        """
        now = self._clock()
        row = records.get(conn, records.return_id(self._workspace(), ticket.id))
        if row is None:
            self.enter(conn, ticket, asked_at)
        elif self._is_news(row, ticket):
            records.wake(conn, row.id, now)

    def notice_deleted(self, conn: Connection, ticket_id: str) -> None:
        """Let the return of a ticket that was deleted end. Inside the caller's transaction."""
        row = records.get(conn, records.return_id(self._workspace(), ticket_id))
        if row is not None and row.step is not Step.GONE:
            records.wake(conn, row.id, self._clock())

    def enter(self, conn: Connection, ticket: Ticket, asked_at: datetime | None = None) -> None:
        """Write the row of a ticket's return, once; it is looked at at once."""
        now = self._clock()
        step = self._statuses.step(ticket.status)
        values = values_of(request_of(ticket, asked_at or now))
        # Where it says that it was received, a warehouse has written what stands there.
        values["claimed"] = None if step is Step.RECEIVED else claimed_by(ticket, self._evidence)
        values["status"] = ""  # nobody has seen it there yet: the first look is an arrival
        records.enter(
            conn,
            self._workspace(),
            ticket.id,
            now,
            step=step,
            **values,
        )

    def _is_news(self, row: Return, ticket: Ticket) -> bool:
        if row.step is Step.GONE:
            return True  # its ticket is there again
        if ticket.status == self._statuses.name(Step.REFUNDED):
            return True  # somebody may have corrected what a refund was held for
        expected = {row.status}
        if row.planned is not None:
            expected.add(self._statuses.name(Step(row.planned["step"])))
        return ticket.status not in expected

    # From a return that is due to its next rest.

    def claim(self, limit: int) -> list[Return]:
        """Take up to `limit` returns that are due."""
        workspace = self._workspace()
        return self._store.write(
            "return.claim",
            lambda conn: records.claim(conn, self._clock(), self._lease, limit, workspace),
        )

    def advance(self, row: Return) -> None:
        """Take a claimed return as far as it goes now; what cannot be done now is put off."""
        try:
            self._advance(row)
        except LeaseLostError:
            log.info("return %s was taken over by another worker", row.id, extra=_ids(row))

    def _advance(self, row: Return) -> None:
        try:
            ticket = self._tickets.get(row.ticket_id)
        except TicketDeletedError:
            self._gone(row, NewDecision("status", "deleted", SOMEBODY))
            return
        except NotShownError as error:
            self._not_shown(row, error)
            return
        except APIError as error:
            self._later(row, _said(error))
            return
        walk = _Walk(row, ticket)
        try:
            self._walk(walk)
        except (LeaseLostError, StoreError):
            raise
        except TicketDeletedError:
            self._gone(walk.row, NewDecision("status", "deleted", SOMEBODY))
        except (APIError, AdapterError) as error:
            self._failed(walk, _said(error), retryable=True)
        except TransitionError as error:
            self._failed(walk, _said(error), retryable=False)
        except WorkflowError as error:
            # What nobody can say now, somebody may later: whether a label was bought.
            retryable = error.retryable or (isinstance(error, LabelError) and error.unknown)
            self._failed(walk, _said(error), retryable=retryable)
        except Exception as error:  # noqa: BLE001 - the merchant's own parts may raise anything
            # Where, and never with what: that may be a customer's data.
            place = traceback.extract_tb(error.__traceback__)[-1]
            why = f"{type(error).__name__} at {place.filename}:{place.lineno}"
            self._failed(walk, why, retryable=True)

    def _walk(self, walk: _Walk) -> None:
        """Go from step to step until there is something to wait for."""
        while True:
            row = walk.row
            if (how := self._removed(walk.ticket)) is not None:
                self._rest(row, how)
                return
            seen = {"ticket_id": row.ticket_id, "return_number": row.number}
            try:
                with telemetry.span("return_step", **seen) as span:
                    self._take_step(walk, span)
            except OutdatedError:
                continue  # decided from what another worker has changed meanwhile: once more
            if walk.row.planned is None:
                return
            # Deciding may have taken long: what somebody did meanwhile must not be overwritten.
            walk.ticket = self._tickets.get(walk.row.ticket_id)

    def _take_step(self, walk: _Walk, span: Span) -> None:
        """Make the move that is planned, and plan what follows from where the ticket is then."""
        span.set(step=str(walk.row.step))
        if walk.row.planned is not None:
            self._make_move(walk)
        now = self._situation(walk)
        span.set(step=str(now.row.step))
        plan = self._plan(now)
        self._commit(walk, now, plan)
        outcome = "rests" if plan.move is None else str(plan.move.step)
        span.set(outcome=outcome)
        _count(now.row, outcome)

    def _situation(self, walk: _Walk) -> Situation:
        row, ticket = walk.row, walk.ticket
        now = self._clock()
        if row.step is Step.GONE and ticket.status == row.status:
            # The ticket is there again, and nobody has moved it.
            row = replace(row, step=self._statuses.step(ticket.status))
        arrived, before = ticket.status != row.status, row.step
        if arrived:
            step = self._statuses.step(ticket.status)
            row = replace(row, step=step, status=ticket.status, entered_at=now, reminded_at=None)
        return Situation(row, ticket, now, arrived, before)

    def _plan(self, now: Situation) -> Plan:
        """Return what follows from where the ticket is."""
        step = now.row.step
        terms = self._terms(now.row)
        receipt = self._receiving.waiting(now.row) if step in TAKES_PARCELS else None
        goes_on = step in _FOR_THE_OWNER and (now.arrived or step is Step.APPROVED)
        if goes_on or receipt is not None:
            asked = self._ownership.ask(now, terms)
            if asked is not None:
                return asked
        if receipt is not None:
            return self._receiving.settle(now, receipt)
        plan = self._rule(now, terms)
        if plan.move is None and step in TAKES_PARCELS and self._receiving.is_held_up(now.row):
            # What holds it up may be settled at the processor, and no ticket tells of that.
            soon = now.now + _LOOK_AGAIN
            return replace(plan, due_at=min(soon, plan.due_at or soon))
        return plan

    def _rule(self, now: Situation, terms: Terms) -> Plan:
        rules: dict[Step, Callable[[], Plan]] = {
            Step.REQUESTED: lambda: self._eligibility.take_up(now),
            Step.CHECK: lambda: self._eligibility.check(now),
            Step.APPROVED: lambda: self._approved(now, terms),
            Step.LABEL_SENT: lambda: self._label_sent(now, terms),
            Step.RECEIVED: lambda: self._receiving.received(now, terms),
            Step.REFUNDED: lambda: self._receiving.refunded(now),
            Step.REVIEW: lambda: timers.for_a_decision(now, terms),
            Step.REJECTED: lambda: self._over(now),
            Step.EXPIRED: lambda: self._over(now),
        }
        return rules.get(now.row.step, Plan)()

    def _approved(self, now: Situation, terms: Terms) -> Plan:
        if terms.returnless:
            return self._receiving.returnless(now)
        return self._labelling.send(now, terms)

    def _label_sent(self, now: Situation, terms: Terms) -> Plan:
        if self._receiving.has_all(now.row):
            return Plan()  # somebody has set it back: the customer owes nothing any more
        return timers.for_the_parcel(now, terms)

    def _over(self, now: Situation) -> Plan:
        came_of_it = self._labelling.take_back(now)
        decisions = tuple(it.decision for it in came_of_it)
        notes = tuple(
            f"{it.why} Look at it at the provider. (Return {now.row.number})"
            for it in decisions
            if it.outcome == LabelState.NOT_VOIDED
        )
        unpaid = self._receiving.over(now)
        written = tuple(it.write for it in came_of_it)
        return Plan(decisions=decisions, notes=notes + unpaid.notes, also=written + unpaid.also)

    def _terms(self, row: Return) -> Terms:
        if row.terms is not None:
            return Terms.of(row.terms)
        # Never checked: somebody has brought it here by hand.
        return Terms.granted(self._book.in_force(row.requested_at))

    def _commit(self, walk: _Walk, now: Situation, plan: Plan) -> None:
        """Write down what was decided; without a move, give the return back."""
        row, before = now.row, walk.row
        to = None if row.step is before.step else (row.step, ReturnAction.SET)
        if plan.move is not None:
            TRANSITIONS.check(row.id, row.step, plan.move.step, plan.move.by)
        values: ReturnChanges = {
            "status": row.status,
            "entered_at": row.entered_at,
            "reminded_at": row.reminded_at,
            "planned": None if plan.move is None else plan.move.decided_on(now.ticket).stored(),
            "tries": 0,
            "error": None,
            **plan.values,
        }

        def write(conn: Connection) -> Return:
            told = list(plan.told)
            if now.arrived:
                self._record_arrival(conn, now)
                told += self._told(row) if plan.welcomes else []
            for decision in plan.decisions:
                records.record(conn, row, decision, now.now)
            for body in plan.notes:
                tell_agents(conn, row, body, now.now)
            self._tell(conn, row, told, now.now)
            for work in plan.also:
                work(conn)
            if plan.move is None:
                return records.release(conn, before, now.now, plan.due_at, to=to, **values)
            until = now.now + self._lease
            return records.change(conn, before, now.now, until, to=to, **values)

        walk.row = self._store.write("return.decided", write)

    def _record_arrival(self, conn: Connection, now: Situation) -> None:
        row = now.row
        kind = "status" if row.step is not Step.ELSEWHERE else "unexpected status"
        # The refund path takes a ticket back by itself when a person must look.
        newest = ledger.newest(conn, limit=1, ticket_id=row.ticket_id)
        ours = row.step is Step.REVIEW and bool(newest) and newest[0].reason is not None
        who, why = (US, newest[0].detail) if ours else (SOMEBODY, None)
        records.record(conn, row, NewDecision(kind, row.status, who, why), now.now)

    def _tell(self, conn: Connection, row: Return, told: list[Told], now: datetime) -> None:
        for it in told if self._tells else ():
            tell_customer(conn, row, it, now)

    def _told(self, row: Return, move: Move | None = None) -> list[Told]:
        told = told_on_arrival(row, self._terms(row), move)
        return [] if told is None else [told]

    def _make_move(self, walk: _Walk) -> None:
        """Write the planned move onto the ticket, unless it is there, or somebody has moved it.

        Who sets the planned status by hand meanwhile has not written what goes with it.
        """
        row = walk.row
        assert row.planned is not None
        move = Move.of(row.planned)
        target = self._statuses.name(move.step)
        nobody: str | None = None  # why nobody was told to look who should have been
        if walk.ticket.status == row.status:
            nobody = self._write(walk, move, target)
        elif walk.ticket.status == target and move.still_written(walk.ticket):
            walk.ticket = self._patch(walk.ticket, move, target, {})
        if walk.ticket.status not in {row.status, target}:
            # What somebody has done meanwhile counts, and the plan is for nothing.
            walk.row = replace(row, planned=None)
            return
        now = self._clock()
        moved = replace(row, step=move.step, status=target, entered_at=now)

        def write(conn: Connection) -> Return:
            told: list[Told] = []
            if nobody is not None:
                tell_agents(conn, moved, f"{nobody} (Return {row.number})", now)
            if target != row.status:
                why = " ".join(filter(None, (move.reason, nobody))) or None
                change = NewDecision("status", target, US, why)
                records.record(conn, moved, change, now)
                told += self._told(moved, move)
            if move.tell is not None:
                told.append(Told(move.tell))
            self._tell(conn, moved, told, now)
            return records.change(
                conn,
                row,
                now,
                now + self._lease,
                to=(move.step, move.by),
                status=target,
                entered_at=now,
                reminded_at=None,
                planned=None,
            )

        walk.row = self._store.write("return.moved", write)

    def _write(self, walk: _Walk, move: Move, target: str) -> str | None:
        """Write the move onto the ticket; return what is wrong with who should look at it.

        A reviewer whom Dispatch does not know keeps no ticket from its status.
        """
        who, wrong = self._reviewers.find(move.assignee, patient=walk.row.tries < PATIENCE)
        if move.assignee is not None:
            walk.ticket = self._tickets.get(walk.row.ticket_id)  # looking may take long
        if who and walk.ticket.status == walk.row.status:
            try:
                walk.ticket = self._patch(walk.ticket, move, target, who)
            except ValidationError:
                wrong = self._reviewers.refused(move.assignee)
                walk.ticket = self._tickets.get(walk.row.ticket_id)
            else:
                return wrong
        if walk.ticket.status == walk.row.status:
            walk.ticket = self._patch(walk.ticket, move, target, {})
        return wrong

    def _patch(self, ticket: Ticket, move: Move, target: str, who: dict[str, Any]) -> Ticket:
        changes: dict[str, Any] = {**who} if ticket.status == target else {**who, "status": target}
        if written := move.still_written(ticket):
            # The whole map: whether the API merges or replaces is not documented.
            changes["custom_fields"] = {**ticket.custom_fields, **written}
        if not changes:
            return ticket
        # Never by itself again: somebody may change the ticket before the next attempt.
        return self._client.tickets.with_options(max_retries=0).update(ticket.id, **changes)

    # What cannot be done now.

    def _not_shown(self, row: Return, error: NotShownError) -> None:
        """Wait for the API to show the ticket; after a day without it, take it for deleted."""
        why, now = _said(error), self._clock()
        if now - failing_since(row.failing_since, row.error, why, now) < self._patience:
            self._later(row, why)
        elif error.missing:
            log.error(
                "return %s ends: the API has not known its ticket for %s",
                row.id,
                self._patience,
                extra=_ids(row),
            )
            self._gone(row, NewDecision("status", "not found", US, why))
        else:
            self._later(row, why, note=f"{why} Nothing follows until it is shown.")

    def _removed(self, ticket: Ticket) -> str | None:
        """Return how a ticket was taken away, so that nothing of its return must follow.

        Where it says `refunded`, the refund path holds it, and says why.
        """
        if self._statuses.step(ticket.status) is Step.REFUNDED:
            return None
        return removal_of(ticket)

    def _rest(self, row: Return, how: str) -> None:
        """Let nothing follow while the ticket is spam or merged, and tell a person once."""
        note = (
            f"The ticket {how}, so this return does not go on: no label, no notice and no refund."
            f" If it should, restore the ticket. (Return {row.number})"
        )
        self._gone(row, NewDecision("status", how, SOMEBODY), note)

    def _gone(self, row: Return, decision: NewDecision, note: str | None = None) -> None:
        log.info("return %s: its ticket is gone", row.id, extra=_ids(row))

        def write(conn: Connection) -> None:
            now = self._clock()
            if row.step is not Step.GONE:
                records.record(conn, row, decision, now)
                if note is not None:
                    tell_agents(conn, row, note, now)
            gone = (Step.GONE, ReturnAction.DELETE)
            records.release(conn, row, now, None, to=gone, planned=None, error=None)

        self._store.write("return.gone", write)
        _count(row, "gone")

    def _failed(self, walk: _Walk, why: str, *, retryable: bool) -> None:
        row = walk.row
        in_review = row.step is Step.REVIEW or _is_parking(row)
        if in_review or (retryable and row.tries < PATIENCE):
            self._later(row, why)
            return
        now = self._situation(walk)
        self._commit(walk, now, _parked(now.row, why))
        _count(now.row, "parked")
        try:
            self._walk(walk)
        except APIError as error:
            self._later(walk.row, _said(error))

    def _later(self, row: Return, why: str, note: str | None = None) -> None:
        log.warning("return %s is put off: %s", row.id, why, extra=_ids(row))
        # Jitter spreads retries; it decides nothing, so chance may come from anywhere.
        wait = backoff(row.tries, random.random(), first=self._first_retry)  # noqa: S311

        def write(conn: Connection) -> None:
            now = self._clock()
            since = failing_since(row.failing_since, row.error, why, now)
            if note is not None:
                tell_agents(conn, row, f"{note} (Return {row.number})", now)
            records.release(
                conn, row, now, now + wait, tries=row.tries + 1, error=why, failing_since=since
            )

        self._store.write("return.postpone", write)
        _count(row, "put_off")


class _Walk:
    """A return and its ticket while a worker takes them from step to step."""

    def __init__(self, row: Return, ticket: Ticket) -> None:
        self.row = row
        self.ticket = ticket


def _is_parking(row: Return) -> bool:
    return row.planned is not None and row.planned["step"] == Step.REVIEW


def _parked(row: Return, why: str) -> Plan:
    """Let a person look at a return whose step keeps failing."""
    step = str(row.step).replace("_", " ")
    failed = f"The step {step} failed: {why}"
    remedy = f"When the cause is mended, set the status to {row.status} again."
    return Plan(
        move=Move(Step.REVIEW, ReturnAction.PARK, reason=failed),
        decisions=(NewDecision("parked", str(row.step), US, why),),
        notes=(f"{failed} {remedy} (Return {row.number})",),
    )


def _said(error: Exception) -> str:
    """Return an error of ours for people; its message holds no secret and no customer's data."""
    text = f"{error}"
    return text if text.endswith(".") else f"{text}."


def _count(row: Return, outcome: str) -> None:
    telemetry.count("returns.steps", step=str(row.step), outcome=outcome)


def _ids(row: Return) -> dict[str, str | None]:
    return ids(ticket_id=row.ticket_id)
