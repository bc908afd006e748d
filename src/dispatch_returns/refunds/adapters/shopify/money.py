"""What the transactions of a Shopify order mean: what was paid, what went back, what failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    MoneyError,
    UnsupportedFeatureError,
)
from dispatch_returns.money import Money, stripe_rule
from dispatch_returns.refunds.adapter import (
    KnownRefund,
    Payment,
    PaymentRef,
    RefundResult,
    RefundStatus,
    UnreadableRefund,
)
from dispatch_returns.refunds.adapters.references import known_refund
from dispatch_returns.refunds.adapters.shop_notes import ours_in
from dispatch_returns.refunds.adapters.shopify.documents import (
    MOST_OF_REFUND,
    Bag,
    PaidOrder,
    RefundedOrder,
    ShopifyRefund,
    ShopifyTransaction,
    UserError,
)

_CREDIT = frozenset({"gift_card", "shopify_store_credit"})
"""Gateways that take no payment: a person pays such money back to where it came from."""
_OPEN_DISPUTES = frozenset({"ACCEPTED", "LOST", "NEEDS_RESPONSE", "UNDER_REVIEW"})
_FAILED = frozenset({"ERROR", "FAILURE"})

Capture = tuple[ShopifyTransaction, int]
"""A transaction that took money, and what is left of it in minor units."""

_SAID: Mapping[str, ErrorKind] = {
    "in progress": ErrorKind.IN_PROGRESS,
    "idempotency key cannot be used": ErrorKind.KEY_CONFLICT,
    "dispute": ErrorKind.DISPUTED,
    "chargeback": ErrorKind.DISPUTED,
    "insufficient": ErrorKind.INSUFFICIENT_BALANCE,
    "exceed": ErrorKind.EXCEEDS_REMAINING,
    "greater than": ErrorKind.EXCEEDS_REMAINING,
    "more than": ErrorKind.EXCEEDS_REMAINING,
    "already": ErrorKind.NOT_REFUNDABLE,
}
"""What a user error says. They have no codes; the words were seen in Shopify's answers, and all are
refusals but the first two."""


def captures_of(order: PaidOrder) -> list[Capture]:
    """Return the transactions that took money, the last one first, with what is left of each.

    Raises `AdapterError` (not_refundable) where nothing was taken, `UnsupportedFeatureError` where
    several payments were.
    """
    done = [it for it in order.transactions if it.status == "SUCCESS"]
    by_id = {it.id: it for it in done}
    taken = [it for it in done if it.kind in {"CAPTURE", "SALE"} and it.gateway not in _CREDIT]
    if not taken:
        raise AdapterError(
            ErrorKind.NOT_REFUNDABLE,
            "Shopify has taken no payment for this order that can be refunded.",
        )
    if len({_first(it, by_id).id for it in taken}) > 1:
        raise UnsupportedFeatureError(
            "the order was paid with several payments: refund it in Shopify"
        )
    back = [it for it in order.transactions if it.kind == "REFUND" and it.status not in _FAILED]
    credit = {it.id for it in done if it.gateway in _CREDIT and it.kind in {"CAPTURE", "SALE"}}
    own = {it.id: 0 for it in taken}
    others = 0
    for it in back:
        parent = it.parent_transaction and it.parent_transaction.id
        if parent in own:
            own[parent] += _minor(it.amount_set, order)
        elif parent not in credit:
            others += _minor(it.amount_set, order)
    captures: list[Capture] = []
    for it in reversed(taken):
        left = _minor(it.amount_set, order) - own[it.id]
        used = min(max(left, 0), others)
        others -= used
        captures.append((it, left - used))
    return captures


def payment_of(order: PaidOrder, captures: Sequence[Capture]) -> Payment:
    """Return what was paid with these captures, and what went back."""
    currency = order.presentment_currency_code
    rule = stripe_rule(currency)
    charged = sum(_minor(it.amount_set, order) for it, _ in captures)
    left = max(0, sum(left for _, left in captures))
    return Payment(
        currency=currency,
        rule=rule,
        charged=Money(charged, currency, rule.decimals),
        refunded=Money(charged - left, currency, rule.decimals),
        disputed=is_disputed(order),
        names=frozenset({order.id}),
    )


def is_disputed(order: PaidOrder) -> bool:
    """Whether a payment of the order is disputed, or a dispute was lost."""
    return any(it.status in _OPEN_DISPUTES for it in order.disputes)


def shares_of(amount: Money, captures: Sequence[Capture], order_id: str) -> list[dict[str, Any]]:
    """Return the transactions of a refund: the last capture first, to the minor unit."""
    missing = amount.minor
    shares: list[dict[str, Any]] = []
    for it, left in captures:
        part = min(missing, left)
        if part > 0:
            missing -= part
            share = Money(part, amount.currency, amount.decimals)
            shares.append(
                {
                    "orderId": order_id,
                    "parentId": it.id,
                    "gateway": it.gateway,
                    "kind": "REFUND",
                    "amount": f"{share.major:f}",
                }
            )
    return shares


def listed_refund(
    refund: ShopifyRefund, order: PaidOrder | RefundedOrder
) -> KnownRefund | UnreadableRefund:
    """Return a refund of an order as the service knows it."""
    if len(refund.transactions.nodes) >= MOST_OF_REFUND:
        return UnreadableRefund(refund.id, "transactions: more of them than are listed")
    moves = [it for it in refund.transactions.nodes if it.kind == "REFUND"]
    good = [it for it in moves if it.status not in _FAILED]
    currency = order.presentment_currency_code
    try:
        minor = sum(_minor(it.amount_set, order) for it in good or moves)
        amount = Money(minor, currency, stripe_rule(currency).decimals)
    except (AdapterError, MoneyError):
        return UnreadableRefund(refund.id, "amountSet")
    if not good:
        status = RefundStatus.FAILED if moves else RefundStatus.CANCELED
    elif all(it.status == "SUCCESS" for it in good):
        status = RefundStatus.SUCCEEDED
    else:
        status = RefundStatus.PENDING
    result = RefundResult(
        processor_id=refund.id,
        status=status,
        amount=amount,
        failure_reason="the gateway refused it" if status is RefundStatus.FAILED else None,
    )
    order_ref = PaymentRef("reference", order.id)
    return known_refund(result, (order_ref,), refund.created_at, ours_in(refund.note))


def rejection(errors: Sequence[UserError]) -> AdapterError:
    """Return the error for Shopify's user errors: they say that nothing was carried out.

    The text is read and not repeated: it may quote the gateway.
    """
    text = " ".join(error.message.lower() for error in errors)
    kind = next((kind for words, kind in _SAID.items() if words in text), ErrorKind.CONFIG)
    fields = ", ".join(".".join(error.field) for error in errors if error.field)
    where = f" (userErrors: {fields})" if fields else ""
    return AdapterError(kind, f"Shopify refused the refund{where}: look at the order there.")


def _minor(bag: Bag, order: PaidOrder | RefundedOrder) -> int:
    """Return an amount in minor units of the order's currency. Raises `AdapterError`."""
    paid = bag.presentment_money
    wrong = AdapterError(
        ErrorKind.UNREADABLE_REFUND, "An amount in Shopify's answer is not one of its currency."
    )
    if paid.currency_code != order.presentment_currency_code:
        raise wrong
    try:
        return Money.from_decimal(abs(Decimal(paid.amount)), paid.currency_code).minor
    except (InvalidOperation, MoneyError):
        raise wrong from None


def _first(
    transaction: ShopifyTransaction, by_id: Mapping[str, ShopifyTransaction]
) -> ShopifyTransaction:
    """Return the sale or authorisation that `transaction` belongs to."""
    for _ in range(len(by_id)):
        parent = transaction.parent_transaction
        if parent is None or parent.id not in by_id:
            break
        transaction = by_id[parent.id]
    return transaction
