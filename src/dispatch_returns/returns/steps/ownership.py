"""The check, before anything of an order is shown, sent or paid, that the customer owns it."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from dispatch_returns.errors import OrderError
from dispatch_returns.refunds import guard, owner_approvals
from dispatch_returns.refunds.owner import Owner, Standing
from dispatch_returns.refunds.owner_approvals import Question
from dispatch_returns.returns import records
from dispatch_returns.returns.owner_lookup import Owners
from dispatch_returns.returns.records import NewDecision
from dispatch_returns.returns.steps.plan import SOMEBODY, US, Move, Plan, Situation
from dispatch_returns.returns.steps.request import text_of
from dispatch_returns.returns.steps.terms import ReturnTerms, wait_for_a_decision
from dispatch_returns.returns.steps.workflow import Workflow
from dispatch_returns.returns.transitions import ReturnAction, Step
from dispatch_returns.store import Store

_AGREED = frozenset({Step.APPROVED, Step.LABEL_SENT, Step.RECEIVED, Step.REFUNDED})
"""The steps to which a person moves a return to let it go on."""
RULE = str(guard.Reason.CUSTOMER_DIFFERS)
REMEDY = (
    "Ask the customer how this order is theirs. If it is, set the status to approved; otherwise"
    " correct order_id and set it to return_requested, or set it to rejected."
)


class Ownership:
    """Asks a person if the customer is not the owner, and records the answer, once per question.

    The person agrees by moving the return on from the review in which they were asked.
    """

    def __init__(self, store: Store, parts: Workflow, of: Owners) -> None:
        self._store = store
        self._parts = parts
        self._owners = of

    def ask(self, now: Situation, terms: ReturnTerms) -> Plan | None:
        """Return the plan that asks a person; None if the return may go on."""
        order_id = text_of(now.ticket.custom_fields.get("order_id"))
        try:
            order = self._parts.order(order_id, now.ticket)
        except OrderError as error:
            if error.retryable:
                raise
            return None  # nothing of it can be shown, and the refund's guard holds it
        owner = self._owners.of(order, now.ticket, now.row.workspace_id, order_id)
        if owner.standing is not Standing.DIFFERS:
            return None
        question = question_of(now, owner)
        with self._store.read() as conn:
            was_asked = owner_approvals.was_asked(conn, question)
        in_review = now.row.step is Step.REVIEW
        if was_asked and in_review:
            return wait_for_a_decision(now, terms)
        if was_asked and now.arrived and now.before is Step.REVIEW and now.row.step in _AGREED:

            def approve(conn: Connection) -> None:
                owner_approvals.approve(conn, question, now.now, who=SOMEBODY)
                why = "A person moved the return on from its review."
                approved = NewDecision("owner", "approved", SOMEBODY, why)
                records.record(conn, now.row, approved, now.now)

            # Written at once, as the steps that follow ask for it.
            self._store.write("return.owner", approve)
            return None
        hold = guard.owner_differs(order_id)
        return Plan(
            move=None if in_review else Move(Step.REVIEW, ReturnAction.ASK, reason=hold.detail),
            decisions=(NewDecision("owner", RULE, US, hold.detail),),
            notes=(f"{hold.detail} {REMEDY} (Return {now.row.number})",),
            also=(asking(now, owner),),
            welcomes=False,
        )


def question_of(now: Situation, owner: Owner) -> Question:
    """Return the question about this return that a person must answer."""
    return Question(now.row.workspace_id, now.row.ticket_id, owner.subject)


def asking(now: Situation, owner: Owner) -> Callable[[Connection], None]:
    """Return the write that asks a person."""
    return lambda conn: owner_approvals.ask(conn, question_of(now, owner), now.now)
