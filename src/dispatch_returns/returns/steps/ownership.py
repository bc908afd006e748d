"""Before anything of an order is shown, sent or paid: that it is the ticket's customer's."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from dispatch_returns.errors import OrderError
from dispatch_returns.refunds import guard, owners
from dispatch_returns.refunds.owner import Owner, Standing
from dispatch_returns.refunds.owners import Question
from dispatch_returns.returns import records
from dispatch_returns.returns.owners import Owners
from dispatch_returns.returns.records import NewDecision
from dispatch_returns.returns.steps.plan import SOMEBODY, US, Move, Plan, Situation
from dispatch_returns.returns.steps.protocols import Parts
from dispatch_returns.returns.steps.request import text_of
from dispatch_returns.returns.steps.terms import Terms
from dispatch_returns.returns.steps.timers import for_a_decision
from dispatch_returns.returns.transitions import ReturnAction, Step
from dispatch_returns.store import Store

_AGREED = frozenset({Step.APPROVED, Step.LABEL_SENT, Step.RECEIVED, Step.REFUNDED})
"""Where a person who was asked takes a return that may go on."""
RULE = str(guard.Reason.CUSTOMER_DIFFERS)
REMEDY = (
    "Ask them how this order is theirs. If it is, set the status to approved; else correct order_id"
    " and set it to return_requested, or set it to rejected."
)


class Ownership:
    """Asks a person where the customer differs, and takes their answer, once for each question.

    They agree when they take the return on from the review in which they were asked.
    """

    def __init__(self, store: Store, parts: Parts, of: Owners) -> None:
        self._store = store
        self._parts = parts
        self._owners = of

    def ask(self, now: Situation, terms: Terms) -> Plan | None:
        """Return the plan that asks a person; None where the return may go on."""
        order_id = text_of(now.ticket.custom_fields.get("order_id"))
        try:
            order = self._parts.order(order_id, now.ticket)
        except OrderError as error:
            if error.retryable:
                raise
            return None  # nothing of it can be shown, and the refund's own guard holds it
        owner = self._owners.of(order, now.ticket, now.row.workspace_id, order_id)
        if owner.standing is not Standing.DIFFERS:
            return None
        question = question_of(now, owner)
        with self._store.read() as conn:
            asked = owners.was_asked(conn, question)
        in_review = now.row.step is Step.REVIEW
        if asked and in_review:
            return for_a_decision(now, terms)
        if asked and now.arrived and now.before is Step.REVIEW and now.row.step in _AGREED:
            self._record(now, question)
            return None
        hold = guard.owner_differs(order_id)
        return Plan(
            move=None if in_review else Move(Step.REVIEW, ReturnAction.ASK, reason=hold.detail),
            decisions=(NewDecision("owner", RULE, US, hold.detail),),
            notes=(f"{hold.detail} {REMEDY} (Return {now.row.number})",),
            also=(asking(now, owner),),
            welcomes=False,
        )

    def _record(self, now: Situation, question: Question) -> None:
        """Write at once that a person has agreed: the steps that follow ask for it."""

        def record(conn: Connection) -> None:
            owners.approve(conn, question, now.now, who=SOMEBODY)
            why = "The return went on from its review."
            records.record(conn, now.row, NewDecision("owner", "approved", SOMEBODY, why), now.now)

        self._store.write("return.owner", record)


def question_of(now: Situation, owner: Owner) -> Question:
    """Return what a person is asked about this return."""
    return Question(now.row.workspace_id, now.row.ticket_id, owner.subject)


def asking(now: Situation, owner: Owner) -> Callable[[Connection], None]:
    """Return the work of asking a person."""
    return lambda conn: owners.ask(conn, question_of(now, owner), now.now)
