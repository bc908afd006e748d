"""Steps 1 to 3: a request is taken up, checked against the policy, and approved or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection

from dispatch_returns.refunds import guard, owners
from dispatch_returns.refunds.order_ids import order_key
from dispatch_returns.refunds.owner import Owner, Standing
from dispatch_returns.returns import receipts, records
from dispatch_returns.returns.notifications.notice import NoticeKind
from dispatch_returns.returns.owners import Owners
from dispatch_returns.returns.policy.verdict import (
    Breakdown,
    History,
    Outcome,
    ReturnRequest,
    Spoken,
    Verdict,
)
from dispatch_returns.returns.records import NewDecision, Return, ReturnChanges
from dispatch_returns.returns.steps.ownership import REMEDY, RULE, asking
from dispatch_returns.returns.steps.plan import Move, Plan, Situation, money_json
from dispatch_returns.returns.steps.protocols import Parts, Policy
from dispatch_returns.returns.steps.request import request_of
from dispatch_returns.returns.steps.siblings import pieces_of, unless_changed
from dispatch_returns.returns.steps.terms import Terms
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
"""Rules that say something of the customer, which is for people of the shop alone, or that repeat
what a request says (`telling.BEFORE_PROOF`)."""
_ARRIVED = frozenset({Step.RECEIVED, Step.REFUNDED})


class Eligibility:
    """Judges requests. Everything it decides from is kept with the decision."""

    def __init__(self, store: Store, parts: Parts, owners: Owners) -> None:
        self._store = store
        self._parts = parts
        self._owners = owners

    def take_up(self, now: Situation) -> Plan:
        """Begin with a request: what the customer asks for is read from the ticket."""
        return Plan(move=Move(Step.CHECK, ReturnAction.TAKE_UP), values=asked(now))

    def check(self, now: Situation) -> Plan:
        """Decide, and keep everything that it was decided from."""
        judged = self.judge(now.row, now.ticket, now.now)
        policy, verdict = judged.policy, judged.verdict
        return Plan(
            move=Move(
                _NEXT[verdict.outcome],
                ReturnAction.DECIDE,
                assignee=verdict.assignee,
                tell=NoticeKind.IN_REVIEW if verdict.outcome is Outcome.REVIEW else None,
                reason=None if verdict.outcome is Outcome.APPROVE else _why(verdict),
                said=_said(verdict),
            ),
            decisions=(_decision(verdict),),
            notes=(_note(verdict, now.row),),
            also=(unless_changed(judged.row, judged.before, before), *self._asking(now, judged)),
            values={
                **asked(now, judged.order),
                "policy": verdict.policy,
                "terms": Terms.granted(policy, verdict).stored(),
            },
        )

    def _asking(self, now: Situation, judged: Judged) -> tuple[Callable[[Connection], None], ...]:
        differs = judged.owner.standing is Standing.DIFFERS
        return (asking(now, judged.owner),) if differs else ()

    def judge(self, row: Return, ticket: Ticket, now: datetime) -> Judged:
        """Ask the policy that was in force when the order was placed; nothing is written."""
        request = request_of(ticket, row.requested_at)
        order = self._parts.order(request.order_id, ticket)
        request = request_of(ticket, row.requested_at, order)
        row = replace(row, **values_of(request, order))
        placed_at = request.requested_at if order is None else order.placed_at
        policy = self._parts.book.in_force(placed_at)
        with self._store.read() as conn:
            seen = before(conn, row)
        verdict = _with_duplicate(policy.judge(request, order, seen.history, now), seen.same)
        owner = self._owners.of(order, ticket, row.workspace_id, request.order_id)
        if owner.standing is Standing.DIFFERS:
            verdict = _of_somebody_else(verdict, request.order_id)
        return Judged(row, order, policy, verdict, seen, owner)


def asked(now: Situation, order: Order | None = None) -> ReturnChanges:
    """Return the values of a row that say what the ticket asks for."""
    return values_of(request_of(now.ticket, now.row.requested_at, order), order)


def values_of(request: ReturnRequest, order: Order | None = None) -> ReturnChanges:
    """Return `request` as a row keeps it. `order` is the one that it means, once it was read."""
    return {
        "order_id": request.order_id,
        "order_key": key_of(request.order_id, order),
        "reason": request.reason,
        "items": [{"sku": item.sku, "quantity": item.quantity} for item in request.items],
        "customer": records.customer_digest(request.customer),
        "requested_at": request.requested_at,
    }


def key_of(order_id: str | None, order: Order | None) -> str | None:
    """Return what all returns of one order have in common.

    It comes from the source's own id; until the order was read, from what the ticket says.
    """
    if order is not None:
        return order_key(order.id)
    return None if order_id is None else order_key(order_id)


@dataclass(frozen=True, slots=True)
class Judged:
    """A verdict, on what, by which policy, and what it took into account of other returns."""

    row: Return
    order: Order | None
    policy: Policy
    verdict: Verdict
    before: Before
    owner: Owner


@dataclass(frozen=True, slots=True)
class Before:
    """What happened before a request, and the open returns that ask for the same."""

    history: History
    same: tuple[Open, ...]


@dataclass(frozen=True, slots=True)
class Open:
    """An open return, as people are told of it."""

    ticket_id: str
    number: str


def before(conn: Connection, row: Return) -> Before:
    """Return what is known now of other returns of this order and of this customer."""
    of_order = records.of_order(conn, row)
    of_customer = records.of_customer(conn, row)
    # Of two requests at once each sees the other: the first one, or the one on its way, counts.
    counted = [r for r in of_order if _is_older(r, row) or _is_under_way(r)]
    # A stranger who asks for an order must not hold up the return of its customer.
    in_review = [r.ticket_id for r in counted if r.step is Step.REVIEW]
    strangers = (
        owners.unanswered(conn, row.workspace_id, in_review) if in_review else frozenset[str]()
    )
    counted = [r for r in counted if r.ticket_id not in strangers]
    mine = _skus(row)
    same = [r for r in counted if r.step not in _ARRIVED and mine & _skus(r)]
    pieces = Counter[str]()
    for other in counted:
        if other not in same:
            pieces.update({item["sku"]: item["quantity"] for item in other.items})
    # Of the rest, and of returns that are over, only what was settled.
    announced = {r.id for r in counted}
    settled = receipts.of_others(conn, row)
    pieces.update(pieces_of(r for r in settled if r.return_id not in announced))
    ages = tuple(r.requested_at for r in of_customer if r.requested_at <= row.requested_at)
    return Before(
        History(returns_by_age=ages, returned=dict(pieces)),
        tuple(Open(r.ticket_id, r.number) for r in same),
    )


def _is_older(other: Return, row: Return) -> bool:
    return (other.created_at, other.id) < (row.created_at, row.id)


def _is_under_way(row: Return) -> bool:
    planned = row.planned and Step(row.planned["step"])
    return row.step in _UNDER_WAY or planned in _UNDER_WAY


def _skus(row: Return) -> set[str]:
    return {item["sku"] for item in row.items}


def _with_duplicate(verdict: Verdict, same: Sequence[Open]) -> Verdict:
    """Let a person look at a second open return for the same items."""
    if not same:
        return verdict
    others = ", ".join(f"{other.ticket_id} ({other.number})" for other in same)
    spoken = Spoken(
        "open_return", Outcome.REVIEW, f"Another open return asks for the same items: {others}."
    )
    outcome = Outcome.REVIEW if verdict.outcome is Outcome.APPROVE else verdict.outcome
    return replace(verdict, outcome=outcome, spoken=(*verdict.spoken, spoken))


def _of_somebody_else(verdict: Verdict, order_id: str | None) -> Verdict:
    """Let a person look at a request for another customer's order, whatever the policy says of it.

    What it says is of that order, so the customer is not told it either.
    """
    spoken = Spoken(RULE, Outcome.REVIEW, guard.owner_differs(order_id).detail)
    return replace(verdict, outcome=Outcome.REVIEW, spoken=(spoken, *verdict.spoken))


def _decision(verdict: Verdict) -> NewDecision:
    data = {
        "spoken": [
            {"rule": it.rule, "outcome": str(it.outcome), "why": it.why} for it in verdict.spoken
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
    """Return a breakdown as the store keeps it."""
    return {
        "total": money_json(breakdown.total),
        "parts": [[name, money_json(amount)] for name, amount in breakdown.parts],
        "fees": [[name, money_json(amount)] for name, amount in breakdown.fees],
    }


def _why(verdict: Verdict) -> str | None:
    """Return what the rules said that decided it."""
    deciding = [it.why for it in verdict.spoken if it.outcome is verdict.outcome]
    return " ".join(deciding or [it.why for it in verdict.spoken]) or None


def _said(verdict: Verdict) -> str | None:
    """Return why it was rejected, as the customer may read it."""
    if verdict.outcome is not Outcome.REJECT:
        return None
    said = [
        it.why
        for it in verdict.spoken
        if it.outcome is Outcome.REJECT and it.rule not in _NOT_FOR_CUSTOMERS
    ]
    return " ".join(said) or None


def _note(verdict: Verdict, row: Return) -> str:
    said = {
        Outcome.APPROVE: "Approved",
        Outcome.REVIEW: "A person must decide",
        Outcome.REJECT: "Rejected",
    }[verdict.outcome]
    lines = [f"{said} by the returns policy {verdict.policy}. (Return {row.number})"]
    lines += [f"- {it.rule}: {it.outcome}. {it.why}" for it in verdict.spoken]
    if verdict.expected is not None:
        lines.append(f"If all arrives as announced: {verdict.expected.total}.")
    if verdict.returnless and verdict.outcome is not Outcome.REJECT:
        lines.append("Nothing needs to be sent back.")
    if any(it.rule == RULE for it in verdict.spoken):
        lines.append(REMEDY)
    elif verdict.outcome is Outcome.REVIEW:
        lines.append(
            "Set the status to approved to go on, or to rejected; or correct the ticket and set"
            " it to return_requested to have it checked again."
        )
    return "\n".join(lines)


def item_lines(items: Iterable[Any]) -> str:
    """Return items for people: ``2 x SKU-001, SKU-002``."""
    return ", ".join(
        item["sku"] if item["quantity"] == 1 else f"{item['quantity']} x {item['sku']}"
        for item in items
    )
