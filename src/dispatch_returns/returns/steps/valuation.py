"""The refund amount of a receipt, given what other returns of the order have settled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from dispatch_returns.errors import MoneyError
from dispatch_returns.money import CurrencyRule, Money
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.policy.verdict import Breakdown, Inspection, Item, Outcome
from dispatch_returns.returns.receipts import Receipt, ReceiptChanges
from dispatch_returns.returns.records import Return
from dispatch_returns.returns.steps.eligibility import breakdown_json, key_of
from dispatch_returns.returns.steps.plan import Situation, money_json, money_of
from dispatch_returns.returns.steps.request import text_of
from dispatch_returns.returns.steps.siblings import Others, of_others
from dispatch_returns.returns.steps.workflow import Workflow
from dispatch_returns.store import Store

WAREHOUSE = "the warehouse"
NO_ORDER = "Order not found, so the refund amount can't be calculated."
_DECIDE = "Set the status to rejected, or write a refund_amount and set the status to refunded."
_NOTHING_LEFT = f"Nothing of the price is left to pay back. {_DECIDE}"
_REVIEW = "The return policy wants a review."


@dataclass(frozen=True, slots=True)
class Valuation:
    """The refund amount of a receipt, given what `others` have settled, or its problem.

    With a ``problem`` a person must review it. ``row`` is the return with the key of the order
    that was read.
    """

    others: Others
    row: Return
    amount: Money | None = None
    breakdown: Breakdown | None = None
    problem: str | None = None
    pays: bool = False
    payment: PaymentRef | None = None
    assignee: str | None = None
    refunded: Money | None = None
    """What the shop says has been paid back of the order so far."""

    def kept(self) -> ReceiptChanges:
        """Return the values of a receipt's row for its refund amount."""
        breakdown = None
        if self.breakdown is not None:
            refunded = None if self.refunded is None else money_json(self.refunded)
            more = {"pays": self.pays, "others": self.others.stored(), "refunded": refunded}
            breakdown = breakdown_json(self.breakdown) | more
        return {"amount": self.amount, "breakdown": breakdown, "detail": self.problem}


class Worths:
    """Calculates the refund amounts of receipts by the policy."""

    def __init__(self, store: Store, parts: Workflow) -> None:
        self._store = store
        self._parts = parts

    def of(self, now: Situation, receipt: Receipt, earlier: Sequence[Receipt]) -> Valuation:
        """Return the refund amount of a receipt, and whether it needs a review."""
        order = self._parts.order(now.row.order_id, now.ticket)
        row = _of_order(now.row, order)
        others = self.others(row)
        if order is None:
            return Valuation(others, row, problem=NO_ORDER)
        found = self._inspect(now, receipt, order, earlier, others)
        review = found.outcome is not Outcome.APPROVE
        valuation = Valuation(
            others,
            row,
            amount=_if_any(found.breakdown.total),
            breakdown=found.breakdown,
            problem=" ".join(it.why for it in found.results) or _REVIEW if review else None,
            pays=found.pays,
            payment=order.payment,
            refunded=order.refunded,
            assignee=found.assignee,
        )
        if valuation.amount is None or receipt.who != WAREHOUSE:
            return valuation
        before: list[Money | None] = []
        if earlier:
            # The amount on the ticket may still be the one granted or paid for the package before.
            refund = self.refund(now.row, earlier[-1])
            before = [earlier[-1].amount, None if refund is None else refund.amount]
        return _by_the_warehouse(now, valuation, before)

    def returnless(self, now: Situation, order: Order) -> Valuation:
        """Return the refund amount if the customer keeps the items."""
        row = _of_order(now.row, order)
        others = self.others(row)
        breakdown = self._parts.book.in_force(order.placed_at).settle(
            order,
            _items(now.row.items),
            now.row.reason,
            elsewhere=others.pieces,
            shipping=others.shipping_paid([]),
            returnless=True,
        )
        problem = order.problem(others.pieces)
        if problem is not None:
            problem = f"{problem} {_DECIDE}"
        elif breakdown.total.minor <= 0:
            problem = _NOTHING_LEFT
        return Valuation(
            others,
            row,
            _if_any(breakdown.total),
            breakdown,
            problem=problem,
            payment=order.payment,
            refunded=order.refunded,
        )

    def anew(
        self, now: Situation, receipt: Receipt, earlier: Sequence[Receipt], others: Others
    ) -> Valuation | None:
        """Return the refund amount given `others`, if it is not the one that a person agreed to.

        None if the amount has not changed, or if the person has written one of their own.
        """
        agreed, kept = receipt.amount, receipt.breakdown
        written = now.ticket.custom_fields.get("refund_amount")
        if kept is None or agreed is None or not _same(written, agreed):
            return None
        if kept.get("others") == others.stored():
            return None
        order = self._parts.order(now.row.order_id, now.ticket)
        if order is None:
            return None
        found = self._inspect(now, receipt, order, earlier, others)
        total = found.breakdown.total
        # The warehouse may have granted less than the policy.
        amount = total if agreed == money_of(kept["total"]) else min(agreed, total)
        if amount == agreed:
            return None
        return Valuation(
            others,
            now.row,
            amount=_if_any(amount),
            breakdown=found.breakdown,
            problem=f"Other returns of the order have changed: the refund amount is now {amount}.",
            pays=found.pays,
            refunded=order.refunded,
            assignee=found.assignee,
        )

    def _inspect(
        self,
        now: Situation,
        receipt: Receipt,
        order: Order,
        earlier: Sequence[Receipt],
        others: Others,
    ) -> Inspection:
        return self._parts.book.in_force(order.placed_at).inspect(
            order,
            _items(receipt.lines),
            now.row.reason,
            announced=_items(now.row.items),
            settled=[item for r in earlier for item in _items(r.lines)],
            elsewhere=others.pieces,
            shipping=others.shipping_paid(earlier),
        )

    def others(self, row: Return) -> Others:
        """Return what the other returns of the order have settled by now."""
        with self._store.read() as conn:
            return of_others(conn, row)

    def refund(self, row: Return, receipt: Receipt) -> Refund | None:
        """Return the refund of a receipt, None if it has not been entered yet."""
        refund = ledger.refund_id(row.workspace_id, row.ticket_id, receipt.ordinal)
        with self._store.read() as conn:
            return ledger.get(conn, refund)


def _of_order(row: Return, order: Order | None) -> Return:
    return replace(row, order_key=key_of(row.order_id, order))


def _items(lines: Iterable[Mapping[str, Any]]) -> list[Item]:
    return [Item(it["sku"], it["quantity"], it.get("condition")) for it in lines]


def _by_the_warehouse(
    now: Situation, valuation: Valuation, before: Sequence[Money | None]
) -> Valuation:
    """Take the amount that the warehouse wrote, if it is not more than the policy's.

    `before` are the amounts of the package before, which the warehouse did not write for this one.
    """
    assert valuation.amount is not None
    written = now.ticket.custom_fields.get("refund_amount")
    if written is None or any(_same(written, amount) for amount in before):
        return valuation
    currency = text_of(now.ticket.custom_fields.get("currency"))
    if currency is not None and currency.upper() != valuation.amount.currency:
        problem = f"The ticket's currency is not the order's, {valuation.amount.currency}."
        return replace(valuation, problem=problem)
    try:
        rule = CurrencyRule(valuation.amount.decimals)
        amount = Money.from_decimal(Decimal(str(written)), valuation.amount.currency, rule)
    except (MoneyError, ArithmeticError):
        return replace(valuation, problem="The refund_amount on the ticket is not an exact amount.")
    if amount > valuation.amount:
        problem = f"The ticket asks for {amount}, more than the policy's {valuation.amount}."
        return replace(valuation, problem=problem)
    return replace(valuation, amount=amount)


def _if_any(amount: Money) -> Money | None:
    return amount if amount.minor > 0 else None


def _same(written: object, amount: Money | None) -> bool:
    try:
        return amount is not None and Decimal(str(written)) == amount.major
    except ArithmeticError:  # not a number
        return False
