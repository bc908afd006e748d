"""Takes returns through their steps: reads the ticket, decides, stores the decision, acts on it.

An event only says that something has changed. What follows is decided from the ticket's current
status in the API, and from our row. If the two differ, a person has moved the ticket, and that
counts: it is recorded, and the return goes on from there.

Our own move is written into the row first and onto the ticket second. After a crash in between,
the ticket shows whether it was made, so it is made once and never taken for a person's move.
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
from dispatch_returns.returns.online import requests as online_requests
from dispatch_returns.returns.owner_lookup import Owners
from dispatch_returns.returns.records import NewDecision, Return, ReturnChanges
from dispatch_returns.returns.steps.assignment import Reviewers
from dispatch_returns.returns.steps.eligibility import Eligibility, values_of
from dispatch_returns.returns.steps.labelling import PATIENCE, Labelling
from dispatch_returns.returns.steps.messages import (
    add_note,
    add_notification,
    notification_on_arrival,
)
from dispatch_returns.returns.steps.ownership import Ownership
from dispatch_returns.returns.steps.plan import (
    SOMEBODY,
    US,
    CustomerNotification,
    Move,
    OutdatedError,
    Plan,
    Situation,
)
from dispatch_returns.returns.steps.receiving import Receiving
from dispatch_returns.returns.steps.request import claimed_by, request_of
from dispatch_returns.returns.steps.statuses import StatusNames
from dispatch_returns.returns.steps.terms import (
    ReturnTerms,
    wait_for_a_decision,
    wait_for_the_package,
)
from dispatch_returns.returns.steps.workflow import Workflow
from dispatch_returns.returns.tickets import TicketReader
from dispatch_returns.returns.transitions import (
    BEGINS,
    TAKES_PARCELS,
    TRANSITIONS,
    ReturnAction,
    Step,
)
from dispatch_returns.store import Store
from dispatch_returns.store.queue import backoff, failing_since
from dispatch_returns.telemetry import ids

log = logging.getLogger(__name__)

_FOR_THE_OWNER = TAKES_PARCELS - {
    Step.REVIEW,
    Step.EXPIRED,
    Step.CANCELLED,
    Step.ELSEWHERE,
}
"""The steps at which the ticket's customer is shown, sent or paid something of the order."""
_LOOK_AGAIN = timedelta(hours=1)


class ReturnsEngine:
    """Processes one return at a time. Safe to run in many threads."""

    def __init__(
        self,
        store: Store,
        client: DispatchClient,
        parts: Workflow,
        intake: Intake,
        owners: Owners,
        *,
        workspace: Callable[[], str],
        statuses: StatusNames,
        lease: timedelta,
        first_retry: timedelta,
        patience: timedelta,
        clock: Clock,
    ) -> None:
        self._store = store
        self._client = client
        self._tickets = TicketReader(store, client)
        self._book = parts.book
        self._evidence = intake.limits.evidence
        self._notifies = parts.notifier is not None
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
        """Return whether a ticket is a return that takes the steps, or becomes one now."""
        with self._store.read() as conn:
            known = records.get(conn, records.return_id(self._workspace(), ticket.id))
        return known is not None or self._statuses.step(ticket.status) in BEGINS

    def note_change(
        self, conn: Connection, ticket: Ticket, asked_at: datetime | None = None
    ) -> None:
        """Make the return of `ticket` due if the ticket has changed.

        Runs in the caller's transaction. Our own writes to the ticket come back as events, and
        change nothing. `asked_at` is when a ticket that is new to us became a return, by default
        now.
        """
        row = records.get(conn, records.return_id(self._workspace(), ticket.id))
        if row is None:
            self.enter(conn, ticket, asked_at)
            return
        expected = {row.status}
        if row.planned is not None:
            expected.add(self._statuses.name(Step(row.planned["step"])))
        if (
            row.step is Step.GONE  # its ticket exists again
            # A person may have corrected what the refund was held for.
            or ticket.status == self._statuses.name(Step.REFUNDED)
            or ticket.status not in expected
        ):
            records.wake(conn, row.id, self._clock())

    def note_deletion(self, conn: Connection, ticket_id: str) -> None:
        """Make the return of a deleted ticket due, to end it. In the caller's transaction."""
        row = records.get(conn, records.return_id(self._workspace(), ticket_id))
        if row is not None and row.step is not Step.GONE:
            records.wake(conn, row.id, self._clock())

    def enter(self, conn: Connection, ticket: Ticket, asked_at: datetime | None = None) -> None:
        """Write the row of a ticket's return, once. It is due at once."""
        now = self._clock()
        step = self._statuses.step(ticket.status)
        asked_at = online_requests.asked_at(conn, ticket.metadata) or asked_at or now
        values = values_of(request_of(ticket, asked_at))
        # If the item was received already, a warehouse wrote the receipt's fields.
        values["claimed"] = None if step is Step.RECEIVED else claimed_by(ticket, self._evidence)
        values["status"] = ""  # so that the first look counts as an arrival
        records.enter(conn, self._workspace(), ticket.id, now, step=step, **values)

    # From a return that is due to its next rest.

    def claim(self, limit: int) -> list[Return]:
        """Claim up to `limit` returns that are due."""
        workspace = self._workspace()
        return self._store.write(
            "return.claim",
            lambda conn: records.claim(conn, self._clock(), self._lease, limit, workspace),
        )

    def advance(self, row: Return) -> None:
        """Take a claimed return as far as it can go now; postpone what can't be done now."""
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
            self._later(row, _sentence(error))
            return
        walk = _Walk(row, ticket)
        try:
            self._walk(walk)
        except (LeaseLostError, StoreError):
            raise
        except TicketDeletedError:
            self._gone(walk.row, NewDecision("status", "deleted", SOMEBODY))
        except (APIError, AdapterError) as error:
            self._failed(walk, _sentence(error), retryable=True)
        except TransitionError as error:
            self._failed(walk, _sentence(error), retryable=False)
        except WorkflowError as error:
            # Whether a label was bought may be unknown now and known later.
            retryable = error.retryable or (isinstance(error, LabelError) and error.unknown)
            self._failed(walk, _sentence(error), retryable=retryable)
        except Exception as error:  # noqa: BLE001 - the merchant's own code may raise anything
            # Only type and place: the message may have a customer's data.
            place = traceback.extract_tb(error.__traceback__)[-1]
            why = f"{type(error).__name__} at {place.filename}:{place.lineno}"
            self._failed(walk, why, retryable=True)

    def _walk(self, walk: _Walk) -> None:
        """Go from step to step until there is something to wait for."""
        while True:
            row = walk.row
            how = removal_of(walk.ticket)
            # The refund of a removed ticket that is refunded is held, with its own note.
            if how is not None and self._statuses.step(walk.ticket.status) is not Step.REFUNDED:
                note = (
                    f"The ticket {how}, so this return stops: no label, no message to the customer,"
                    f" no refund. If it should go on, restore the ticket. (Return {row.number})"
                )
                self._gone(row, NewDecision("status", how, SOMEBODY), note)
                return
            names = {"ticket_id": row.ticket_id, "return_number": row.number}
            try:
                with telemetry.span("return_step", **names) as span:
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
            except OutdatedError:
                continue  # another worker has changed what it was decided from: decide again
            if walk.row.planned is None:
                return
            # Deciding may take long: a change by a person meanwhile must not be overwritten.
            walk.ticket = self._tickets.get(walk.row.ticket_id)

    def _situation(self, walk: _Walk) -> Situation:
        row, ticket = walk.row, walk.ticket
        now = self._clock()
        if row.step is Step.GONE and ticket.status == row.status:
            # The ticket exists again, with the same status.
            row = replace(row, step=self._statuses.step(ticket.status))
        arrived, before = ticket.status != row.status, row.step
        if arrived:
            step = self._statuses.step(ticket.status)
            row = replace(row, step=step, status=ticket.status, entered_at=now, reminded_at=None)
        return Situation(row, ticket, now, arrived, before)

    def _plan(self, now: Situation) -> Plan:
        """Return what follows from the ticket's step: the owner, then receipts, then the rule."""
        step = now.row.step
        terms = self._terms(now.row)
        receipt = self._receiving.waiting(now.row) if step in TAKES_PARCELS else None
        goes_on = step in _FOR_THE_OWNER and (now.arrived or step is Step.APPROVED)
        if goes_on or receipt is not None:
            question = self._ownership.ask(now, terms)
            if question is not None:
                return question
        if receipt is not None:
            return self._receiving.settle(now, receipt)
        plan = self._rule(now, terms)
        if plan.move is None and step in TAKES_PARCELS and self._receiving.is_held_up(now.row):
            # The earlier package may be settled at the processor, without an event of a ticket.
            soon = now.now + _LOOK_AGAIN
            return replace(plan, due_at=min(soon, plan.due_at or soon))
        return plan

    def _rule(self, now: Situation, terms: ReturnTerms) -> Plan:
        """Return what the ticket's step leads to: the life of a return, from the top."""
        match now.row.step:
            case Step.REQUESTED:
                plan = self._eligibility.take_up(now)
            case Step.CHECK:
                plan = self._eligibility.check(now)
            case Step.APPROVED if terms.returnless:
                plan = self._receiving.returnless(now)
            case Step.APPROVED:
                plan = self._labelling.send(now, terms)
            case Step.LABEL_SENT if self._receiving.has_all(now.row):
                plan = Plan()  # a person has moved it back: there is no package to wait for
            case Step.LABEL_SENT:
                plan = wait_for_the_package(now, terms)
            case Step.RECEIVED:
                plan = self._receiving.received(now, terms)
            case Step.REFUNDED:
                plan = self._receiving.refunded(now)
            case Step.REVIEW:
                plan = wait_for_a_decision(now, terms)
            case Step.REJECTED | Step.EXPIRED | Step.CANCELLED:
                plan = self._over(now)
            case _:
                plan = Plan()
        return plan

    def _over(self, now: Situation) -> Plan:
        """Void the labels that are not needed any more, and note what was not paid."""
        results = self._labelling.take_back(now)
        decisions = tuple(it.decision for it in results)
        notes = tuple(
            f"{it.why} Check it with the label provider. (Return {now.row.number})"
            for it in decisions
            if it.outcome == LabelState.NOT_VOIDED
        )
        unpaid = self._receiving.over(now)
        writes = tuple(it.write for it in results)
        return Plan(decisions=decisions, notes=notes + unpaid.notes, also=writes + unpaid.also)

    def _terms(self, row: Return) -> ReturnTerms:
        if row.terms is not None:
            return ReturnTerms.of(row.terms)
        # It was never checked: a person moved it past the check.
        return ReturnTerms.granted(self._book.in_force(row.requested_at))

    def _commit(self, walk: _Walk, now: Situation, plan: Plan) -> None:
        """Write the decision; without a move, release the return."""
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
            notifications = list(plan.notifications)
            if now.arrived:
                kind = "status" if row.step is not Step.ELSEWHERE else "unexpected status"
                # A refund that is held moves the ticket to review itself.
                newest = ledger.newest(conn, limit=1, ticket_id=row.ticket_id)
                ours = row.step is Step.REVIEW and bool(newest) and newest[0].reason is not None
                who, why = (US, newest[0].detail) if ours else (SOMEBODY, None)
                records.record(conn, row, NewDecision(kind, row.status, who, why), now.now)
                notifications += self._on_arrival(row) if plan.welcomes else []
            for decision in plan.decisions:
                records.record(conn, row, decision, now.now)
            for body in plan.notes:
                add_note(conn, row, body, now.now)
            self._notify(conn, row, notifications, now.now)
            for work in plan.also:
                work(conn)
            if plan.move is None:
                return records.release(conn, before, now.now, plan.due_at, to=to, **values)
            until = now.now + self._lease
            return records.change(conn, before, now.now, until, to=to, **values)

        walk.row = self._store.write("return.decided", write)

    def _notify(
        self,
        conn: Connection,
        row: Return,
        notifications: list[CustomerNotification],
        now: datetime,
    ) -> None:
        for notification in notifications if self._notifies else ():
            add_notification(conn, row, notification, now)

    def _on_arrival(self, row: Return, move: Move | None = None) -> list[CustomerNotification]:
        notification = notification_on_arrival(row, self._terms(row), move)
        return [] if notification is None else [notification]

    def _make_move(self, walk: _Walk) -> None:
        """Write the planned move onto the ticket, unless it is there or a person has moved it.

        If a person sets the planned status meanwhile, the fields of the move are still written.
        """
        row = walk.row
        assert row.planned is not None
        move = Move.of(row.planned)
        target = self._statuses.name(move.step)
        unassigned: str | None = None  # why the wanted assignee did not get the ticket
        if walk.ticket.status == row.status:
            unassigned = self._write(walk, move, target)
        elif walk.ticket.status == target and move.still_written(walk.ticket):
            walk.ticket = self._patch(walk.ticket, move, target, {})
        if walk.ticket.status not in {row.status, target}:
            # A person has moved the ticket meanwhile: that counts, and the plan is dropped.
            walk.row = replace(row, planned=None)
            return
        now = self._clock()
        moved = replace(row, step=move.step, status=target, entered_at=now)

        def write(conn: Connection) -> Return:
            notifications: list[CustomerNotification] = []
            if unassigned is not None:
                add_note(conn, moved, f"{unassigned} (Return {row.number})", now)
            if target != row.status:
                why = " ".join(filter(None, (move.reason, unassigned))) or None
                change = NewDecision("status", target, US, why)
                records.record(conn, moved, change, now)
                notifications += self._on_arrival(moved, move)
            if move.notification is not None:
                notifications.append(CustomerNotification(move.notification))
            self._notify(conn, moved, notifications, now)
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
        """Write the move onto the ticket; return what is wrong with its assignee, if anything.

        The ticket gets its status even if Dispatch does not know the assignee.
        """
        who, wrong = self._reviewers.find(move.assignee, patient=walk.row.tries < PATIENCE)
        if move.assignee is not None:
            walk.ticket = self._tickets.get(walk.row.ticket_id)  # the look-up may take long
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
        # Not retried by the client: a person may change the ticket before the next attempt.
        return self._client.tickets.with_options(max_retries=0).update(ticket.id, **changes)

    # What cannot be done now.

    def _not_shown(self, row: Return, error: NotShownError) -> None:
        """Wait for the API to show the ticket; after a day without it, it counts as deleted."""
        why, now = _sentence(error), self._clock()
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
            note = f"{why} This return waits until the API shows the ticket as its events do."
            self._later(row, why, note=note)

    def _gone(self, row: Return, decision: NewDecision, note: str | None = None) -> None:
        log.info("return %s: its ticket is gone", row.id, extra=_ids(row))

        def write(conn: Connection) -> None:
            now = self._clock()
            if row.step is not Step.GONE:
                records.record(conn, row, decision, now)
                if note is not None:
                    add_note(conn, row, note, now)
            gone = (Step.GONE, ReturnAction.DELETE)
            records.release(conn, row, now, None, to=gone, planned=None, error=None)

        self._store.write("return.gone", write)
        _count(row, "gone")

    def _failed(self, walk: _Walk, why: str, *, retryable: bool) -> None:
        """Postpone the return; after too many failures, or a permanent one, park it in review."""
        row = walk.row
        parking = row.planned is not None and row.planned["step"] == Step.REVIEW
        if row.step is Step.REVIEW or parking or (retryable and row.tries < PATIENCE):
            self._later(row, why)
            return
        now = self._situation(walk)
        failed = f"The step {str(now.row.step).replace('_', ' ')} failed: {why}"
        remedy = f"Once it is fixed, set the status to {now.row.status} again."
        plan = Plan(
            move=Move(Step.REVIEW, ReturnAction.PARK, reason=failed),
            decisions=(NewDecision("parked", str(now.row.step), US, why),),
            notes=(f"{failed} {remedy} (Return {now.row.number})",),
        )
        self._commit(walk, now, plan)
        _count(now.row, "parked")
        try:
            self._walk(walk)
        except APIError as error:
            self._later(walk.row, _sentence(error))

    def _later(self, row: Return, why: str, note: str | None = None) -> None:
        """Postpone the return, with backoff."""
        log.warning("return %s is postponed: %s", row.id, why, extra=_ids(row))
        # Jitter only spreads retries, so any source of chance will do.
        wait = backoff(row.tries, random.random(), first=self._first_retry)  # noqa: S311

        def write(conn: Connection) -> None:
            now = self._clock()
            since = failing_since(row.failing_since, row.error, why, now)
            if note is not None:
                add_note(conn, row, f"{note} (Return {row.number})", now)
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


def _sentence(error: Exception) -> str:
    """Return one of our errors as a sentence; it has no secret and no customer's data."""
    text = f"{error}"
    return text if text.endswith(".") else f"{text}."


def _count(row: Return, outcome: str) -> None:
    telemetry.count("returns.steps", step=str(row.step), outcome=outcome)


def _ids(row: Return) -> dict[str, str | None]:
    return ids(ticket_id=row.ticket_id)
