"""What may come back, and what for: pure functions of the order, the policy and the clock.

They ask the same policy as the worker that decides later, with the same request, so a page never
promises what the decision refuses. What a browser sends is a `ReturnDraft`: a wish, and no fact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from typing import Literal

from dispatch_returns.money import Money
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.policy.keys import word
from dispatch_returns.returns.policy.model import DEFAULT_OUTCOMES, ReasonChoice
from dispatch_returns.returns.policy.verdict import (
    SHIPPING,
    History,
    Item,
    Outcome,
    ReturnRequest,
    RuleResult,
    Verdict,
    part_of,
)
from dispatch_returns.returns.steps.workflow import Policy

USUAL_REASONS: tuple[ReasonChoice, ...] = tuple(
    ReasonChoice(key=key)
    for key in (
        "wrong_size",
        "changed_mind",
        "not_as_described",
        "defective",
        "wrong_item",
        "arrived_late",
        "other",
    )
)
"""What customers can choose if the policy declares no reasons."""

Possible = Literal["yes", "review", "some reasons", "no"]
"""Whether an article may come back: ``review`` is after a person's decision, ``some reasons``
only if the customer names one of them."""
_PRIVATE = frozenset({"blocked", "earlier_returns", "max_value"})
"""Checks about the customer: they are shown that a person decides, and not why."""


@dataclass(frozen=True, slots=True)
class Objection:
    """Why something can't come back, or not without a person: the name of the policy's check.

    ``text`` is the sentence of the policy's own rule that rejects it. What a rule says about a
    review is for agents.
    """

    check: str
    text: str | None = None


@dataclass(frozen=True, slots=True)
class ReturnableItem:
    """All pieces of an article in an order. ``left`` may be requested now, ``each`` was
    paid for one of them.

    ``until`` is the last day, None if nothing was shipped.
    """

    sku: str
    title: str
    bought: int
    left: int
    each: Money
    possible: Possible
    until: date | None
    reasons: tuple[str, ...]
    """The reasons with which it may come back."""
    objection: Objection | None = None


@dataclass(frozen=True, slots=True)
class ReturnOptions:
    """What the customer can choose from."""

    items: tuple[ReturnableItem, ...]
    reasons: tuple[ReasonChoice, ...]

    @property
    def is_open(self) -> bool:
        """Whether anything may come back."""
        return any(it.possible != "no" for it in self.items)

    def item(self, sku: str) -> ReturnableItem | None:
        """Return an article by its SKU."""
        return next((it for it in self.items if it.sku == sku), None)

    def reason(self, key: str) -> ReasonChoice | None:
        """Return a reason by its key."""
        return next((it for it in self.reasons if it.key == key), None)

    def reasons_for(self, items: Mapping[str, int]) -> frozenset[str]:
        """Return the reasons with which all of these may come back together."""
        allowed = [frozenset(it.reasons) for sku in items if (it := self.item(sku)) is not None]
        return frozenset[str].intersection(*allowed) if allowed else frozenset()


@dataclass(frozen=True, slots=True)
class ReturnDraft:
    """A return that is being put together. ``id`` makes it once, however often it is sent."""

    id: str
    items: Mapping[str, int] = field(default_factory=dict[str, int])
    """Pieces by SKU."""
    reason: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class QuoteLine:
    """Pieces of an article, and what was paid for them."""

    sku: str
    title: str
    quantity: int
    amount: Money


@dataclass(frozen=True, slots=True)
class Quote:
    """What the customer gets, line by line: ``total`` is lines and ``shipping`` less ``fees``.

    ``outcome``: at once, after a person's decision, or not at all, because of ``objections``.
    """

    outcome: Outcome
    lines: tuple[QuoteLine, ...]
    shipping: Money | None
    fees: tuple[tuple[str, Money], ...]
    total: Money
    returnless: bool
    objections: tuple[Objection, ...]


def reasons_of(policy: Policy) -> tuple[ReasonChoice, ...]:
    """Return the reasons that customers can choose."""
    return tuple(policy.reasons) or USUAL_REASONS


def options(policy: Policy, order: Order, history: History, now: datetime) -> ReturnOptions:
    """Return which pieces of `order` may come back, until when, and why the others may not."""
    reasons = reasons_of(policy)
    skus = dict.fromkeys(line.sku for line in order.lines)
    problem = order.problem(history.returned) is not None
    found = [
        _item(_Judge(policy, _only(order, sku, problem=problem), history, now), sku, reasons)
        for sku in skus
    ]
    return ReturnOptions(tuple(found), reasons)


def quote(
    policy: Policy,
    order: Order,
    history: History,
    draft: ReturnDraft,
    now: datetime,
    *,
    duplicate: bool = False,
) -> Quote:
    """Return what would come of `draft` now. `duplicate`: another return asks for the same."""
    items = tuple(Item(sku, count) for sku, count in draft.items.items())
    verdict = _Judge(policy, order, history, now)(items, draft.reason)
    outcome = verdict.outcome
    objections = _objections(verdict, outcome)
    if duplicate and outcome is Outcome.APPROVE:
        outcome, objections = Outcome.REVIEW, (Objection("open_return"),)
    nothing = Money(0, order.currency, order.shipping.decimals)
    parts: Mapping[str, Money] = {}
    fees: tuple[tuple[str, Money], ...] = ()
    total = nothing
    if verdict.expected is not None:
        parts, fees = dict(verdict.expected.parts), verdict.expected.fees
        total = verdict.expected.total
    return Quote(
        outcome=outcome,
        lines=tuple(
            QuoteLine(
                it.sku, title_of(order, it.sku), it.quantity, parts.get(part_of(it.sku), nothing)
            )
            for it in items
        ),
        shipping=parts.get(SHIPPING),
        fees=fees,
        total=total,
        returnless=verdict.returnless,
        objections=objections,
    )


def title_of(order: Order, sku: str) -> str:
    """Return what the customer knows an article as."""
    return next((line.title for line in order.lines if line.sku == sku and line.title), sku)


def _only(order: Order, sku: str, *, problem: bool) -> Order:
    """Return the order as if it had only one article: it is judged a hundred times as fast.

    What the whole order's sums say is said by `problem` alone.
    """
    return replace(
        order,
        lines=tuple(line for line in order.lines if line.sku == sku),
        charged=None,
        credit=None,
        refunded=None,
        hold="needs a person's look" if problem else None,
    )


def _item(judge: _Judge, sku: str, reasons: Sequence[ReasonChoice]) -> ReturnableItem:
    order = judge.order
    lines = [line for line in order.lines if line.sku == sku]
    bought = sum(line.quantity for line in lines)
    left = max(0, bought - sum(line.removed for line in lines) - judge.history.returned.get(sku, 0))
    plain = judge((Item(sku),), None)
    judged = {it.key: judge((Item(sku),), it.key) for it in reasons}
    allowed = tuple(key for key, it in judged.items() if it.outcome is not Outcome.REJECT)
    possible: Possible = "no"
    objection: Objection | None = None
    if not left:
        allowed, objection = (), Objection("too_many")
    elif not allowed:
        objection = next(iter(_objections(plain, Outcome.REJECT)), Objection("rule"))
    elif plain.outcome is Outcome.REJECT or len(allowed) < len(reasons):
        possible = "some reasons"
        objection = next(iter(_objections(plain, plain.outcome)), None)
    elif plain.outcome is Outcome.REVIEW:
        possible, objection = "review", next(iter(_objections(plain, Outcome.REVIEW)), None)
    else:
        possible = "yes"
    # What holds for any reason; if it can't come back so, what holds for those that it can.
    general = plain.outcome is not Outcome.REJECT or not allowed
    days = [judge.policy.return_by(order, sku, it) for it in ((None,) if general else allowed)]
    return ReturnableItem(
        sku=sku,
        title=title_of(order, sku),
        bought=bought,
        left=left,
        each=_each(order, sku, bought),
        possible=possible,
        until=max((day for day in days if day is not None), default=None),
        reasons=allowed,
        objection=objection,
    )


def _each(order: Order, sku: str, bought: int) -> Money:
    paid = sum(order.paid(line).minor for line in order.lines if line.sku == sku)
    return Money(paid // bought, order.currency, order.shipping.decimals)


@dataclass(frozen=True, slots=True)
class _Judge:
    """Asks the policy about requests for one order, all at one time."""

    policy: Policy
    order: Order
    history: History
    now: datetime

    def __call__(self, items: tuple[Item, ...], reason: str | None) -> Verdict:
        request = ReturnRequest(
            ticket_id="",
            order_id=self.order.id,
            items=items,
            reason=None if reason is None else word(reason),
            requested_at=self.now,
            customer=self.order.customer_email,
        )
        return self.policy.evaluate(request, self.order, self.history, self.now)


def _objections(verdict: Verdict, outcome: Outcome) -> tuple[Objection, ...]:
    found = [_objection(it) for it in verdict.results if it.outcome is outcome]
    return tuple(dict.fromkeys(found)) if outcome is not Outcome.APPROVE else ()


def _objection(spoken: RuleResult) -> Objection:
    if spoken.rule in _PRIVATE:
        return Objection("person")
    if spoken.rule in DEFAULT_OUTCOMES:
        return Objection(spoken.rule)
    return (
        Objection("rule", spoken.why) if spoken.outcome is Outcome.REJECT else Objection("person")
    )
