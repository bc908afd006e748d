"""What a receipt is worth, beside what other returns of the order have settled."""

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
from dispatch_returns.returns.policy.verdict import Breakdown, Item, Outcome
from dispatch_returns.returns.receipts import Receipt
from dispatch_returns.returns.records import Return
from dispatch_returns.returns.steps.eligibility import breakdown_json, key_of
from dispatch_returns.returns.steps.plan import Situation, money_json, money_of
from dispatch_returns.returns.steps.protocols import Inspection, Parts
from dispatch_returns.returns.steps.request import text_of
from dispatch_returns.returns.steps.siblings import Others, of_others
from dispatch_returns.store import Store

WAREHOUSE = "the warehouse"
NO_ORDER = "Nobody knows the order, so nobody knows what this is worth."
_DECIDE = "Set the status to rejected; or give a refund_amount and set it to refunded."
_NOTHING_LEFT = f"Nothing of the price is left to pay back. {_DECIDE}"
_LOOK = "The policy wants a person to look."


@dataclass(frozen=True, slots=True)
class Worth:
    """What a receipt is worth beside what `others` have settled, or why a person must look.

    ``row`` is the return, which is one of the order that was read.
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
    """What the shop says was paid back of the order so far."""

    def kept(self) -> dict[str, Any]:
        """Return the values of a receipt's row that say what it is worth."""
        breakdown = None
        if self.breakdown is not None:
            refunded = None if self.refunded is None else money_json(self.refunded)
            beside = {"pays": self.pays, "others": self.others.stored(), "refunded": refunded}
            breakdown = breakdown_json(self.breakdown) | beside
        return {"amount": self.amount, "breakdown": breakdown, "detail": self.problem}


class Worths:
    """Asks the policy what receipts are worth."""

    def __init__(self, store: Store, parts: Parts) -> None:
        self._store = store
        self._parts = parts

    def of(self, now: Situation, receipt: Receipt, earlier: Sequence[Receipt]) -> Worth:
        """Ask the policy what arrived is worth, and whether a person must look."""
        order = self._parts.order(now.row.order_id, now.ticket)
        row = _of_order(now.row, order)
        others = self.others(row)
        if order is None:
            return Worth(others, row, problem=NO_ORDER)
        found = self._inspect(now, receipt, order, earlier, others)
        looks = found.outcome is not Outcome.APPROVE
        worth = Worth(
            others,
            row,
            amount=_if_any(found.breakdown.total),
            breakdown=found.breakdown,
            problem=" ".join(it.why for it in found.spoken) or _LOOK if looks else None,
            pays=found.pays,
            payment=order.payment,
            refunded=order.refunded,
            assignee=found.assignee,
        )
        if worth.amount is None or receipt.who != WAREHOUSE:
            return worth
        return _with_the_warehouses_word(now, worth, self._amounts(now.row, earlier))

    def returnless(self, now: Situation, order: Order) -> Worth:
        """Return what is paid back without anything being sent."""
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
        return Worth(
            others,
            row,
            _if_any(breakdown.total),
            breakdown,
            problem=_unclear(order, others)
            or (None if breakdown.total.minor > 0 else _NOTHING_LEFT),
            payment=order.payment,
            refunded=order.refunded,
        )

    def anew(
        self, now: Situation, receipt: Receipt, earlier: Sequence[Receipt], others: Others
    ) -> Worth | None:
        """Return what a receipt is worth beside `others`, if a person has agreed to another amount.

        None where that is what they were asked about, or where they have given one of their own.
        """
        agreed, kept = receipt.amount, receipt.breakdown
        said = now.ticket.custom_fields.get("refund_amount")
        if kept is None or agreed is None or not _same(said, agreed):
            return None
        if kept.get("others") == others.stored():
            return None
        order = self._parts.order(now.row.order_id, now.ticket)
        if order is None:
            return None
        found = self._inspect(now, receipt, order, earlier, others)
        total = found.breakdown.total
        # The warehouse may have given less than the policy.
        amount = total if agreed == money_of(kept["total"]) else min(agreed, total)
        if amount == agreed:
            return None
        return Worth(
            others,
            now.row,
            amount=_if_any(amount),
            breakdown=found.breakdown,
            problem=f"Other returns of the order have changed: this is now worth {amount}.",
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

    def _amounts(self, row: Return, earlier: Sequence[Receipt]) -> list[Money | None]:
        """Return what was said to be the worth of the parcel before, and what was paid for it."""
        if not earlier:
            return []
        refund = self.refund(row, earlier[-1])
        return [earlier[-1].amount, None if refund is None else refund.amount]

    def others(self, row: Return) -> Others:
        """Return what other returns of the order have settled by now."""
        with self._store.read() as conn:
            return of_others(conn, row)

    def refund(self, row: Return, receipt: Receipt) -> Refund | None:
        """Return the refund of a receipt, None where it is not entered yet."""
        refund = ledger.refund_id(row.workspace_id, row.ticket_id, receipt.ordinal)
        with self._store.read() as conn:
            return ledger.get(conn, refund)


def _unclear(order: Order, others: Others) -> str | None:
    problem = order.problem(others.pieces)
    return problem and f"{problem} {_DECIDE}"


def _of_order(row: Return, order: Order | None) -> Return:
    return replace(row, order_key=key_of(row.order_id, order))


def _items(lines: Iterable[Mapping[str, Any]]) -> list[Item]:
    return [Item(it["sku"], it["quantity"], it.get("condition")) for it in lines]


def _with_the_warehouses_word(
    now: Situation, worth: Worth, earlier: Sequence[Money | None]
) -> Worth:
    """Take the amount that the warehouse has written, where it is not more than the policy's."""
    assert worth.amount is not None
    said = now.ticket.custom_fields.get("refund_amount")
    if said is None or any(_same(said, amount) for amount in earlier):
        return worth  # it says none; or what stands there is the parcel's before
    currency = text_of(now.ticket.custom_fields.get("currency"))
    if currency is not None and currency.upper() != worth.amount.currency:
        problem = f"The ticket's currency is not the order's, {worth.amount.currency}."
        return replace(worth, problem=problem)
    try:
        rule = CurrencyRule(worth.amount.decimals)
        amount = Money.from_decimal(Decimal(str(said)), worth.amount.currency, rule)
    except (MoneyError, ArithmeticError):
        return replace(worth, problem="The refund_amount on the ticket is not an exact amount.")
    if amount > worth.amount:
        problem = f"The ticket asks for {amount}; by the policy it is worth {worth.amount}."
        return replace(worth, problem=problem)
    return replace(worth, amount=amount)


def _if_any(amount: Money) -> Money | None:
    return amount if amount.minor > 0 else None


def _same(said: object, amount: Money | None) -> bool:
    try:
        return amount is not None and Decimal(str(said)) == amount.major
    except ArithmeticError:  # it is no number
        return False
