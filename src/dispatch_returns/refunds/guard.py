"""Whether money may move: a pure decision from the ticket, the payment and the limits."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from dispatch_returns.errors import MoneyError
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import Payment, PaymentRef
from dispatch_returns.refunds.capabilities import Capabilities
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.order_ids import same_order
from dispatch_returns.refunds.ticket_facts import ORDER_ID_LIMIT, Parcel, TicketFacts, digest_of
from dispatch_returns.store.switches import Switch


class Reason(enum.StrEnum):
    """Why a refund waits for a person."""

    CUSTOMER_DIFFERS = "customer_differs"
    ORDER_UNREADABLE = "order_unreadable"
    NO_PAYMENT = "no_payment"
    ADAPTER_UNCLEAR = "adapter_unclear"
    ADAPTER_CHANGED = "adapter_changed"
    NO_AMOUNT = "no_amount"
    AMOUNT_NOT_EXACT = "amount_not_exact"
    AMOUNT_ZERO = "amount_zero"
    CURRENCY_DIFFERS = "currency_differs"
    ORDER_DIFFERS = "order_differs"
    ORDER_UNKNOWN = "order_unknown"
    PAYMENT_DIFFERS = "payment_differs"
    POSSIBLE_DUPLICATE = "possible_duplicate"
    EXCEEDS_REMAINING = "exceeds_remaining"
    MORE_THAN_GRANTED = "more_than_granted"
    EVIDENCE_MISSING = "evidence_missing"
    TICKET_REMOVED = "ticket_removed"
    OVER_CAP = "over_cap"
    OVER_DAY_CAP = "over_day_cap"
    APPROVAL_NEEDED = "approval_needed"
    DRY_RUN = "dry_run"
    DISPUTED = "disputed"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    NOT_REFUNDABLE = "not_refundable"
    NOT_SETTLED = "not_settled"
    NOT_FOUND = "not_found"
    ALREADY_REFUNDED = "already_refunded"
    UNSUPPORTED = "unsupported"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    OUTCOME_UNKNOWN = "outcome_unknown"
    STATUS_UNKNOWN = "status_unknown"
    REFUNDED_ELSEWHERE = "refunded_elsewhere"
    REFUND_UNREADABLE = "refund_unreadable"
    CHANGED_MEANWHILE = "changed_meanwhile"
    TAKEN_BACK = "taken_back"
    AMOUNT_CHANGED = "amount_changed"
    AMOUNT_DIFFERS = "amount_differs"
    PAID_TWICE = "paid_twice"
    REFUND_FAILED = "refund_failed"
    REFUND_CANCELED = "refund_canceled"


REMEDIES: Mapping[Reason, str] = {
    Reason.CUSTOMER_DIFFERS: (
        "Ask the customer how this order is theirs. If it is, run: dispatch-returns refunds"
        " approve. If the ticket names the wrong order, correct order_id, then set the status to"
        " refunded again."
    ),
    Reason.ORDER_UNREADABLE: (
        "Correct what it names in the shop's system, or order_id on the ticket, then set the"
        " status to refunded again."
    ),
    Reason.NO_PAYMENT: (
        "Put the payment's id into the ticket's field payment_intent (or charge_id), then set"
        " the status to refunded again."
    ),
    Reason.ADAPTER_UNCLEAR: (
        "Put the adapter that took this payment into the ticket's field payment_adapter (a name"
        " from DISPATCH_RETURNS_ADAPTERS), or correct or clear that field, then set the status to"
        " refunded again."
    ),
    Reason.ADAPTER_CHANGED: (
        "Look for this refund where it was begun. If nothing was paid there, refund the customer at"
        " the processor by hand, then run: dispatch-returns refunds cancel."
    ),
    Reason.NO_AMOUNT: "Fill in refund_amount, then set the status to refunded again.",
    Reason.AMOUNT_NOT_EXACT: (
        "Correct refund_amount, then set the status to refunded again. Nothing is rounded."
    ),
    Reason.AMOUNT_ZERO: "Correct refund_amount, or close the ticket: there is nothing to pay.",
    Reason.CURRENCY_DIFFERS: (
        "Give refund_amount in the payment's currency, correct the field currency, then set the"
        " status to refunded again."
    ),
    Reason.ORDER_DIFFERS: (
        "Check which order this return belongs to, correct order_id or the payment's id, then"
        " set the status to refunded again."
    ),
    Reason.ORDER_UNKNOWN: (
        "Correct order_id on the ticket, then set the status to refunded again. If you have checked"
        " that the payment on the ticket is the customer's own payment for this order, run:"
        " dispatch-returns refunds approve."
    ),
    Reason.PAYMENT_DIFFERS: (
        "To refund the order's own payment, clear the payment's field on the ticket, then set the"
        " status to refunded again. If you have checked that the ticket's payment is the right one,"
        " run: dispatch-returns refunds approve."
    ),
    Reason.POSSIBLE_DUPLICATE: (
        "Compare the two tickets. If this one asks for the same money again, run: dispatch-returns"
        " refunds cancel. If both are to be paid, run: dispatch-returns refunds approve."
    ),
    Reason.EXCEEDS_REMAINING: (
        "Look at the payment's earlier refunds, correct refund_amount, then set the status to"
        " refunded again."
    ),
    Reason.MORE_THAN_GRANTED: (
        "If the amount granted is right, correct refund_amount and set the status to refunded"
        " again. If the other amount is to be paid, run: dispatch-returns refunds approve."
    ),
    Reason.TICKET_REMOVED: (
        "If the customer is to be paid, restore the ticket (or use the one that it was merged"
        " into), then set the status to refunded again."
    ),
    Reason.EVIDENCE_MISSING: (
        "Complete the receipt of the item on the ticket, then set the status to refunded again."
    ),
    Reason.OVER_CAP: (
        "Check the amount. If it is right, refund it by hand or raise the cap per refund, then"
        " run: dispatch-returns refunds retry."
    ),
    Reason.OVER_DAY_CAP: (
        "Check today's refunds. If they are right, raise the cap per day or wait until tomorrow"
        " (UTC), then run: dispatch-returns refunds retry."
    ),
    Reason.APPROVAL_NEEDED: "A second person must run: dispatch-returns refunds approve.",
    Reason.DRY_RUN: (
        "Nothing was paid, because dry run is on. Turn it off, then run: dispatch-returns"
        " refunds retry."
    ),
    Reason.DISPUTED: (
        "Answer the dispute at the processor: if it is lost, the bank pays the customer. If the"
        " payment is to be refunded all the same, run: dispatch-returns refunds approve. The"
        " processor refuses it where it must not be."
    ),
    Reason.INSUFFICIENT_BALANCE: (
        "Add funds to your balance at the processor, or wait until payments settle, then run:"
        " dispatch-returns refunds retry."
    ),
    Reason.NOT_REFUNDABLE: "Look at the payment at the processor and pay the customer another way.",
    Reason.NOT_FOUND: (
        "Correct the payment's id on the ticket (or the processor's account and key), then set"
        " the status to refunded again."
    ),
    Reason.ALREADY_REFUNDED: (
        "Nothing is left on this payment, and no refund of it was found. Look at it at the"
        " processor."
    ),
    Reason.UNSUPPORTED: "The processor cannot do this. Pay the customer another way.",
    Reason.REJECTED: (
        "The processor did not accept the request. Correct what it names, then run:"
        " dispatch-returns refunds retry."
    ),
    Reason.UNREACHABLE: (
        "The processor could not be reached or refused the key for a day. Run dispatch-returns"
        " doctor, then: dispatch-returns refunds retry."
    ),
    Reason.OUTCOME_UNKNOWN: (
        "It may have been paid. Look for it at the processor by the metadata dispatch_refund_id."
        " If it is there, run: dispatch-returns refunds retry. If it is certainly not there, run"
        " the same with --nothing-was-paid."
    ),
    Reason.STATUS_UNKNOWN: (
        "Look at this refund at the processor. Nothing is paid again, and it is still checked. If"
        " the processor can't be reached, run: dispatch-returns doctor."
    ),
    Reason.REFUNDED_ELSEWHERE: (
        "Look at that refund at the processor. If it was for this return, cancel this one:"
        " dispatch-returns refunds cancel. If this one shall be paid as well: dispatch-returns"
        " refunds approve."
    ),
    Reason.REFUND_UNREADABLE: (
        "Nothing was paid. Look at that refund at the processor. If this one should still be paid,"
        " refund it there by hand, then run: dispatch-returns refunds cancel. Once that refund can"
        " be read, run: dispatch-returns refunds retry."
    ),
    Reason.NOT_SETTLED: (
        "Look at this payment at the processor. Once it is settled, run: dispatch-returns refunds"
        " retry. If it never will be, cancel the payment there, then run: dispatch-returns refunds"
        " cancel."
    ),
    Reason.CHANGED_MEANWHILE: (
        "Nothing was paid. Check refund_amount and the payment's id, then set the status to"
        " refunded again."
    ),
    Reason.TAKEN_BACK: (
        "Nothing was paid. If it should be paid after all, restore the ticket and set its status"
        " to refunded again."
    ),
    Reason.AMOUNT_CHANGED: "The refund stands as it was paid. A further payment is made by hand.",
    Reason.REFUND_FAILED: (
        "The money came back to you. Ask the customer for another way, or try again with:"
        " dispatch-returns refunds retry."
    ),
    Reason.REFUND_CANCELED: (
        "Nothing was paid. If it should be, run: dispatch-returns refunds retry."
    ),
    Reason.AMOUNT_DIFFERS: (
        "Look at this refund at the processor and settle the difference by hand."
    ),
    Reason.PAID_TWICE: "Look at these refunds at the processor, and find out who made them.",
}


@dataclass(frozen=True, slots=True)
class Hold:
    """A refusal to pay: ``detail`` says what was found, and the reason's remedy says what to do."""

    reason: Reason
    detail: str

    @property
    def remedy(self) -> str:
        """What a person should do."""
        return REMEDIES[self.reason]


@dataclass(frozen=True, slots=True)
class GuardLimits:
    """The conditions for moving money. Amounts are in major units by currency code.

    ``max_refund`` and ``max_per_day`` count all adapters together, ``adapter_max_refund`` and
    ``adapter_max_per_day`` one adapter, by its configured name; each must be kept. Where a limit
    names some currencies, it refuses every other currency: a merchant who starts to
    sell in a new one should decide on its limit. ``evidence``: custom fields that the ticket must
    carry, with the accepted values (none named: any value).
    """

    kill_switch: bool = False
    dry_run: bool = False
    max_refund: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    max_per_day: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    adapter_max_refund: Mapping[str, Mapping[str, Decimal]] = field(
        default_factory=dict[str, Mapping[str, Decimal]]
    )
    adapter_max_per_day: Mapping[str, Mapping[str, Decimal]] = field(
        default_factory=dict[str, Mapping[str, Decimal]]
    )
    approve_above: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])
    evidence: Mapping[str, frozenset[str]] = field(
        default_factory=lambda: {"received_date": frozenset()}
    )

    @property
    def stopped_by(self) -> frozenset[str]:
        """The switches that these settings keep on, whatever the store says."""
        kept = {Switch.KILL: self.kill_switch, Switch.DRY_RUN: self.dry_run}
        return frozenset(switch for switch, is_on in kept.items() if is_on)


APPROVABLE = frozenset(
    {
        Reason.APPROVAL_NEEDED,
        Reason.DISPUTED,
        Reason.MORE_THAN_GRANTED,
        Reason.ORDER_UNKNOWN,
        Reason.PAYMENT_DIFFERS,
        Reason.POSSIBLE_DUPLICATE,
        Reason.REFUNDED_ELSEWHERE,
    }
)
"""The holds that a second person's approval lifts."""


def check(
    facts: TicketFacts, payment: Payment, limits: GuardLimits, adapter: str | None = None
) -> Money | Hold:
    """Return the exact amount to pay through `adapter`, or the hold that says what to correct."""
    if facts.removed is not None:
        return Hold(Reason.TICKET_REMOVED, f"The ticket {facts.removed}.")
    amount = asked(facts, payment)
    if isinstance(amount, Hold):
        return amount
    return (
        _order(facts, payment)
        or _evidence(facts, limits)
        or _payment(amount, payment)
        or _over(amount, limits.max_refund, Reason.OVER_CAP, "the cap per refund")
        or _over(
            amount,
            limits.adapter_max_refund.get(adapter or "", _NO_LIMIT),
            Reason.OVER_CAP,
            f"the cap per refund of {adapter}",
        )
        or amount
    )


def doubts(amount: Money, facts: TicketFacts, payment: Payment) -> tuple[Hold, ...]:
    """Return what a second person must approve before `amount`, which passed `check`, is paid."""
    over = _over_grant(amount, facts.parcel)
    found = [] if over is None else [over]
    if payment.disputed:
        detail = "The customer disputes this payment with the bank."
        found.append(Hold(Reason.DISPUTED, detail))
    return tuple(found)


def together(holds: Sequence[Hold]) -> Hold | None:
    """Return one hold that combines `holds`, so that one approval covers them all knowingly."""
    if not holds:
        return None
    return Hold(holds[0].reason, " ".join(hold.detail for hold in holds))


def owner_differs(order_id: str | None) -> Hold:
    """Return the hold for a ticket whose customer is not the order's customer."""
    return Hold(
        Reason.CUSTOMER_DIFFERS,
        f"The customer of this ticket is not the customer of order {order_id}.",
    )


def adapter_unclear(detail: str) -> Hold:
    """Return the hold for a payment of which it is not clear who took it."""
    return Hold(Reason.ADAPTER_UNCLEAR, detail)


def adapter_changed(row: Refund, adapter: str) -> Hold:
    """Return the hold for a refund that was begun with another adapter than its payment's."""
    return Hold(
        Reason.ADAPTER_CHANGED,
        f"This refund was begun with the adapter {row.adapter}, and the payment belongs to"
        f" {adapter} now.",
    )


def payment_differs(ticket: PaymentRef, order: PaymentRef) -> Hold:
    """Return the hold for a ticket that names a different payment than its order has."""
    return Hold(
        Reason.PAYMENT_DIFFERS,
        f"The ticket names the payment {ticket.id}, but the order was paid with {order.id}.",
    )


def order_unknown(facts: TicketFacts) -> Hold:
    """Return the hold for a payment that only the ticket connects with an order of the shop."""
    what = "The ticket names no order" if facts.order_id is None else "Order not found in the shop"
    return Hold(
        Reason.ORDER_UNKNOWN,
        f"{what}, so only the ticket says that this payment is the customer's.",
    )


def possible_duplicate(other: Refund) -> Hold:
    """Return the hold for a refund that another ticket asked for less than a day ago."""
    return Hold(
        Reason.POSSIBLE_DUPLICATE,
        f"Ticket {other.ticket_id} has a refund of the same payment, order and amount from the"
        " last 24 hours.",
    )


def dry_run_hold(amount: Money) -> Hold:
    """Return the hold that a dry run makes in place of a payment."""
    return Hold(Reason.DRY_RUN, f"{amount} would have been paid.")


def needs_approval(amount: Money, limits: GuardLimits) -> Hold | None:
    """Return a hold if a second person must approve `amount`."""
    if not limits.approve_above:
        return None
    limit = limits.approve_above.get(amount.currency)
    if limit is not None and amount.major <= limit:
        return None
    above = "no limit is set for it" if limit is None else f"above {limit} {amount.currency}"
    return Hold(Reason.APPROVAL_NEEDED, f"{amount} needs a second person: {above}.")


def over_day_cap(
    amount: Money,
    sent_today_minor: int,
    max_per_day: Mapping[str, Decimal],
    adapter: str | None = None,
) -> Hold | None:
    """Return a hold if `amount` plus what was sent today exceeds the cap per day.

    The cap is that of one adapter, or of all if `adapter` is None.
    """
    total = Money(amount.minor + sent_today_minor, amount.currency, amount.decimals)
    limit = max_per_day.get(amount.currency)
    if not max_per_day or (limit is not None and total.major <= limit):
        return None
    whose = "" if adapter is None else f" of {adapter}"
    return Hold(
        Reason.OVER_DAY_CAP,
        f"{amount} would bring today's refunds{whose} to {total}; the cap per day is"
        f" {'not set for this currency' if limit is None else limit}.",
    )


def with_currency(payment: Payment, facts: TicketFacts, can: Capabilities) -> Payment:
    """Return the payment with its currency, where the processor or the order or ticket names it.

    The processor refuses a refund in another currency than the payment's.
    """
    granted = facts.parcel.amount or facts.parcel.granted
    currency = facts.currency if granted is None else granted.currency
    if payment.currency is not None or currency is None:
        return payment
    try:
        return replace(payment, currency=currency.upper(), rule=can.currency_rule(currency))
    except MoneyError:
        return payment


def asked(facts: TicketFacts, payment: Payment) -> Money | Hold:
    """Return the exact amount that the ticket asks for, or the hold that says why it is unclear."""
    said, currency, granted = facts.amount, facts.currency, facts.parcel.granted
    if facts.parcel.amount is not None:
        said, currency = facts.parcel.amount.major, facts.parcel.amount.currency
    elif currency is None and granted is not None:
        currency = granted.currency
    if said is None:
        return Hold(Reason.NO_AMOUNT, "The ticket has no refund_amount.")
    if isinstance(said, str):
        return Hold(Reason.AMOUNT_NOT_EXACT, "refund_amount is not a number.")
    if payment.currency is None:
        detail = "The processor does not tell the payment's currency, and the ticket names none."
        return Hold(Reason.CURRENCY_DIFFERS, detail)
    if currency is not None and currency.upper() != payment.currency:
        detail = f"The ticket's currency is not the payment's, {payment.currency}."
        promised = facts.parcel.amount or granted
        if promised is not None and promised.currency != payment.currency:
            detail = f"{promised} was granted, and the payment is in {payment.currency}."
        return Hold(Reason.CURRENCY_DIFFERS, detail)
    try:
        amount = Money.from_decimal(said, payment.currency, payment.rule)
    except MoneyError as error:
        return Hold(Reason.AMOUNT_NOT_EXACT, f"refund_amount: {error}.")
    if amount.minor == 0:
        return Hold(Reason.AMOUNT_ZERO, "refund_amount is 0.")
    return amount


def _over_grant(amount: Money, parcel: Parcel) -> Hold | None:
    granted = parcel.granted
    if granted is None or not parcel.automatic or parcel.amount is not None:
        return None
    if amount.currency == granted.currency and amount.major <= granted.major:
        return None
    return Hold(
        Reason.MORE_THAN_GRANTED,
        f"refund_amount is {amount}, and {granted} was granted for what came back.",
    )


def _order(facts: TicketFacts, payment: Payment) -> Hold | None:
    if facts.order_id is not None and len(facts.order_id) > ORDER_ID_LIMIT:
        return Hold(
            Reason.ORDER_DIFFERS,
            f"order_id is longer than {ORDER_ID_LIMIT} characters: no order is.",
        )
    if (
        payment.order_id is None
        or facts.order_id is None
        or same_order(payment.order_id, facts.order_id)
    ):
        return None
    return Hold(Reason.ORDER_DIFFERS, "The payment belongs to another order than the ticket.")


def _evidence(facts: TicketFacts, limits: GuardLimits) -> Hold | None:
    if facts.parcel.returnless:
        return None
    for name, accepted in limits.evidence.items():
        value = facts.fields.get(name)
        if _is_blank(value):
            return Hold(Reason.EVIDENCE_MISSING, f"The ticket has no {name}.")
        if facts.parcel.claimed.get(name) == digest_of(value):
            detail = f"The {name} on the ticket came with the request, so it proves no receipt."
            return Hold(Reason.EVIDENCE_MISSING, detail)
        if accepted and str(value) not in accepted:
            wanted = ", ".join(sorted(accepted))
            return Hold(Reason.EVIDENCE_MISSING, f"{name} is none of: {wanted}.")
    return None


def _is_blank(value: Any) -> bool:
    """Whether it is an empty text, an unticked box or an empty list, which are no evidence."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or value is False or value in ([], {})


def _payment(amount: Money, payment: Payment) -> Hold | None:
    remaining = payment.remaining
    if remaining is None or amount <= remaining:
        return None
    return Hold(
        Reason.EXCEEDS_REMAINING,
        f"refund_amount is {amount} and {remaining} is left on the payment.",
    )


def processor_limits(
    amount: Money, payment: Payment, refunds: int | None, can: Capabilities, now: datetime
) -> Hold | None:
    """Return a hold if the processor refuses `amount` whenever it is asked.

    `refunds` is how many refunds the payment has, None where that is not known.
    """
    if not can.partial and payment.charged is not None and amount != payment.charged:
        detail = f"The processor refunds {payment.charged} of this payment, and no part of it."
        return Hold(Reason.UNSUPPORTED, detail)
    oldest = can.refund_within
    if oldest is not None and payment.paid_at is not None and now > payment.paid_at + oldest:
        detail = f"The processor refunds a payment for {oldest.days} days, and this one is older."
        return Hold(Reason.NOT_REFUNDABLE, detail)
    if can.most_refunds is not None and refunds is not None and refunds >= can.most_refunds:
        detail = f"The payment has {refunds} refunds, and the processor makes no more of one."
        return Hold(Reason.NOT_REFUNDABLE, detail)
    return None


_NO_LIMIT: Mapping[str, Decimal] = {}


def _over(amount: Money, caps: Mapping[str, Decimal], reason: Reason, what: str) -> Hold | None:
    limit = caps.get(amount.currency)
    if not caps or (limit is not None and amount.major <= limit):
        return None
    known = "not set for this currency" if limit is None else f"{limit} {amount.currency}"
    return Hold(reason, f"{amount} is over {what}, which is {known}.")
