"""Steps 1 to 3: a request is read, checked against the policy, and approved or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from dispatch_returns.refunds import guard, owner_approvals
from dispatch_returns.refunds.order_ids import order_key
from dispatch_returns.refunds.owner import Owner, Standing
from dispatch_returns.returns import receipts, records
from dispatch_returns.returns.notifications.notification import NotificationKind
from dispatch_returns.returns.owner_lookup import Owners
from dispatch_returns.returns.policy.verdict import (
    Breakdown,
    History,
    Outcome,
    ReturnRequest,
    RuleResult,
    Verdict,
)
from dispatch_returns.returns.records import NewDecision, Return, ReturnChanges
from dispatch_returns.returns.steps.ownership import REMEDY, RULE, asking
from dispatch_returns.returns.steps.plan import Move, Plan, Situation, money_json
from dispatch_returns.returns.steps.request import request_of
from dispatch_returns.returns.steps.siblings import pieces_of, unless_changed
from dispatch_returns.returns.steps.terms import ReturnTerms
from dispatch_returns.returns.steps.workflow import Policy, Workflow
from dispatch_returns.returns.transitions import ReturnAction, Step
from dispatch_returns.store import Store

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket
    from dispatch_returns.returns.orders.model import Order

_NEXT = {
    Outcome.APPROVE: Step.APPROVED,
    Outcome.REVIEW: Step.REVIEW,
    Outcome.REJECT: Step.REJECTED,
}
_UNDER_WAY = frozenset({Step.APPROVED, Step.LABEL_SENT, Step.RECEIVED, Step.REFUNDED})
_NOT_FOR_CUSTOMERS = frozenset(
    {"blocked", "earlier_returns", "max_value", "open_return", "unknown_item"}
)
"""Rules whose results the customer is not shown: they are about the customer, or repeat what the
request says (see `messages.BEFORE_PROOF`)."""
_ARRIVED = frozenset({Step.RECEIVED, Step.REFUNDED})


class Eligibility:
    """Decides on requests. Everything that a decision depends on is stored with it."""

    def __init__(self, store: Store, parts: Workflow, owners: Owners) -> None:
        self._store = store
        self._parts = parts
        self._owners = owners

    def take_up(self, now: Situation) -> Plan:
        """Read the request from the ticket, and go on to check it."""
        request = request_of(now.ticket, now.row.requested_at)
        return Plan(move=Move(Step.CHECK, ReturnAction.TAKE_UP), values=values_of(request))

    def check(self, now: Situation) -> Plan:
        """Decide on the request, and store everything that the decision depends on."""
        evaluation = self.evaluate(now.row, now.ticket, now.now)
        order, policy, verdict = evaluation.order, evaluation.policy, evaluation.verdict
        review = verdict.outcome is Outcome.REVIEW
        also = [unless_changed(evaluation.row, evaluation.before, before)]
        if evaluation.owner.standing is Standing.DIFFERS:
            also.append(asking(now, evaluation.owner))
        request = request_of(now.ticket, now.row.requested_at, order)
        return Plan(
            move=Move(
                _NEXT[verdict.outcome],
                ReturnAction.DECIDE,
                assignee=verdict.assignee,
                notification=NotificationKind.IN_REVIEW if review else None,
                reason=None if verdict.outcome is Outcome.APPROVE else _why(verdict),
                for_customer=_for_the_customer(verdict),
            ),
            decisions=(_decision(verdict),),
            notes=(_note(verdict, now.row),),
            also=tuple(also),
            values={
                **values_of(request, order),
                "policy": verdict.policy,
                "terms": ReturnTerms.granted(policy, verdict).stored(),
            },
        )

    def evaluate(self, row: Return, ticket: Ticket, now: datetime) -> Evaluation:
        """Decide by the policy in force when the order was placed; nothing is written.

        A second open return for the same items, and an order of another customer, need a review
        whatever the policy says. Raises `OrderError`.
        """
        request = request_of(ticket, row.requested_at)
        order = self._parts.order(request.order_id, ticket)
        request = request_of(ticket, row.requested_at, order)
        row = replace(row, **values_of(request, order))
        placed_at = request.requested_at if order is None else order.placed_at
        policy = self._parts.book.in_force(placed_at)
        with self._store.read() as conn:
            seen = before(conn, row)
        verdict = policy.evaluate(request, order, seen.history, now)
        if seen.same:
            others = ", ".join(f"{other.ticket_id} ({other.number})" for other in seen.same)
            why = f"Another open return asks for the same items: {others}."
            duplicate = RuleResult("open_return", Outcome.REVIEW, why)
            outcome = Outcome.REVIEW if verdict.outcome is Outcome.APPROVE else verdict.outcome
            verdict = replace(verdict, outcome=outcome, results=(*verdict.results, duplicate))
        owner = self._owners.of(order, ticket, row.workspace_id, request.order_id)
        if owner.standing is Standing.DIFFERS:
            # The policy's results are about another customer's order: this one is not shown them.
            differs = RuleResult(RULE, Outcome.REVIEW, guard.owner_differs(request.order_id).detail)
            verdict = replace(verdict, outcome=Outcome.REVIEW, results=(differs, *verdict.results))
        return Evaluation(row, order, policy, verdict, seen, owner)


def values_of(request: ReturnRequest, order: Order | None = None) -> ReturnChanges:
    """Return the values of a return's row for `request`; `order` is its order, once read."""
    return {
        "order_id": request.order_id,
        "order_key": key_of(request.order_id, order),
        "reason": request.reason,
        "items": [{"sku": item.sku, "quantity": item.quantity} for item in request.items],
        "customer": records.customer_digest(request.customer),
        "requested_at": request.requested_at,
    }


def key_of(order_id: str | None, order: Order | None) -> str | None:
    """Return the key that all returns of one order share.

    It is made of the source's own id or, until the order has been read, of the ticket's.
    """
    if order is not None:
        return order_key(order.id)
    return None if order_id is None else order_key(order_id)


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A verdict, with what it is about, the policy, and the other returns it depends on."""

    row: Return
    order: Order | None
    policy: Policy
    verdict: Verdict
    before: Before
    owner: Owner


@dataclass(frozen=True, slots=True)
class Before:
    """What happened before a request, and the open returns for the same items."""

    history: History
    same: tuple[Open, ...]


@dataclass(frozen=True, slots=True)
class Open:
    """An open return, as agents see it."""

    ticket_id: str
    number: str


def before(conn: Connection, row: Return) -> Before:
    """Return what is known now about other returns of this order and of this customer."""
    of_order = records.of_order(conn, row)
    of_customer = records.of_customer(conn, row)
    # Of two requests at once each sees the other: the older one, or one under way, counts.
    counted = list[Return]()
    for other in of_order:
        older = (other.created_at, other.id) < (row.created_at, row.id)
        planned = other.planned and Step(other.planned["step"])
        if older or other.step in _UNDER_WAY or planned in _UNDER_WAY:
            counted.append(other)
    # A stranger who asks for an order must not hold up the return of its owner.
    in_review = [r.ticket_id for r in counted if r.step is Step.REVIEW]
    strangers = (
        owner_approvals.unanswered(conn, row.workspace_id, in_review)
        if in_review
        else frozenset[str]()
    )
    counted = [r for r in counted if r.ticket_id not in strangers]
    mine = _skus(row)
    same = [r for r in counted if r.step not in _ARRIVED and mine & _skus(r)]
    pieces = Counter[str]()
    for other in counted:
        if other not in same:
            pieces.update({item["sku"]: item["quantity"] for item in other.items})
    # Of the other returns, and of those that are over, only what was settled counts.
    announced = {r.id for r in counted}
    settled = receipts.of_others(conn, row)
    pieces.update(pieces_of(r for r in settled if r.return_id not in announced))
    ages = tuple(r.requested_at for r in of_customer if r.requested_at <= row.requested_at)
    return Before(
        History(returns_by_age=ages, returned=dict(pieces)),
        tuple(Open(r.ticket_id, r.number) for r in same),
    )


def _skus(row: Return) -> set[str]:
    return {item["sku"] for item in row.items}


def _decision(verdict: Verdict) -> NewDecision:
    data = {
        "results": [
            {"rule": it.rule, "outcome": str(it.outcome), "why": it.why} for it in verdict.results
        ],
        "facts": dict(verdict.facts),
        "policy": verdict.policy,
        "at": verdict.at.isoformat(),
        "assignee": verdict.assignee,
        "returnless": verdict.returnless,
        "expected": None if verdict.expected is None else breakdown_json(verdict.expected),
    }
    return NewDecision(
        "eligibility", str(verdict.outcome), f"policy {verdict.policy}", _why(verdict), data
    )


def breakdown_json(breakdown: Breakdown) -> dict[str, Any]:
    """Return a breakdown as JSON values for the store."""
    return {
        "total": money_json(breakdown.total),
        "parts": [[name, money_json(amount)] for name, amount in breakdown.parts],
        "fees": [[name, money_json(amount)] for name, amount in breakdown.fees],
    }


def _why(verdict: Verdict) -> str | None:
    """Return the reasons of the rule results that decided the outcome."""
    deciding = [it.why for it in verdict.results if it.outcome is verdict.outcome]
    return " ".join(deciding or [it.why for it in verdict.results]) or None


def _for_the_customer(verdict: Verdict) -> str | None:
    """Return why the request was rejected, as far as the customer may read it."""
    if verdict.outcome is not Outcome.REJECT:
        return None
    reasons = [
        it.why
        for it in verdict.results
        if it.outcome is Outcome.REJECT and it.rule not in _NOT_FOR_CUSTOMERS
    ]
    return " ".join(reasons) or None


def _note(verdict: Verdict, row: Return) -> str:
    title = {
        Outcome.APPROVE: "Approved by the return policy",
        Outcome.REVIEW: "A person must decide, by the return policy",
        Outcome.REJECT: "Rejected by the return policy",
    }[verdict.outcome]
    lines = [f"{title} {verdict.policy}. (Return {row.number})"]
    lines += [f"- {it.rule}: {it.outcome}. {it.why}" for it in verdict.results]
    if verdict.expected is not None:
        lines.append(f"If everything arrives as announced: {verdict.expected.total}.")
    if verdict.returnless and verdict.outcome is not Outcome.REJECT:
        lines.append("The customer keeps the items.")
    if any(it.rule == RULE for it in verdict.results):
        lines.append(REMEDY)
    elif verdict.outcome is Outcome.REVIEW:
        lines.append(
            "Set the status to approved or to rejected; or correct the ticket and set the status to"
            " return_requested to have it checked again."
        )
    return "\n".join(lines)


def item_lines(items: Iterable[Any]) -> str:
    """Return items as text for people: ``2 x SKU-001, SKU-002``."""
    return ", ".join(
        item["sku"] if item["quantity"] == 1 else f"{item['quantity']} x {item['sku']}"
        for item in items
    )
