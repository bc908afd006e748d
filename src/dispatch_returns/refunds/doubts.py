"""What a second person must approve before a payment is refunded, and what they approved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection

from dispatch_returns.money import Money
from dispatch_returns.refunds import external, guard, ledger
from dispatch_returns.refunds.adapter import Payment
from dispatch_returns.refunds.decision import RefundDecision
from dispatch_returns.refunds.external import ExternalRefund
from dispatch_returns.refunds.guard import GuardLimits, Hold
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.order_ids import same_order
from dispatch_returns.refunds.orders import OrderRecord
from dispatch_returns.refunds.ticket_facts import NamedPayment, TicketFacts
from dispatch_returns.refunds.transitions import UNPAID
from dispatch_returns.store.schema import storable

_DUPLICATE_WITHIN = timedelta(hours=24)


def of_payment(
    facts: TicketFacts, payment: Payment, found: NamedPayment, order: OrderRecord
) -> tuple[Hold, ...]:
    """Return what a person must approve where only the ticket names this payment."""
    if found.ref is not None and found.expected is not None:
        differs = found.differs_from(payment)
        return (guard.payment_differs(found.ref, found.expected),) if differs else ()
    # At this point, a note on the payment that names an order names the ticket's order.
    noted = payment.order_id is not None and facts.order_id is not None
    if not order.missing or noted or facts.parcel.without_order:
        return ()
    return (guard.order_unknown(facts),)


def before_approval(
    conn: Connection,
    adapter: str,
    decision: RefundDecision,
    elsewhere: Sequence[ExternalRefund],
    *,
    entered_at: datetime,
    limits: GuardLimits,
) -> list[Hold]:
    """Return everything that a second person must approve. The caller has locked the payment.

    `elsewhere` are the payment's external refunds that no row has; `entered_at` is when the row was
    made.
    """
    amount = decision.amount
    if amount is None:
        return []
    found = of_others(conn, adapter, decision, elsewhere)
    # From the day before this row's entry until now: a refund that waits stays the same refund.
    since = entered_at - _DUPLICATE_WITHIN
    alike = ledger.alike(conn, adapter, decision.payment_ids, amount, since)
    other = next((it for it in alike if _is_duplicate(it, decision.facts)), None)
    if other is not None:
        found.append(guard.possible_duplicate(other))
    if (needed := guard.needs_approval(amount, limits)) is not None:
        found.append(needed)
    return found


def of_others(
    conn: Connection, adapter: str, decision: RefundDecision, elsewhere: Sequence[ExternalRefund]
) -> list[Hold]:
    """Return the doubts of the check, and one more if `elsewhere` and this are too much."""
    found = list(decision.doubts)
    if elsewhere and _is_too_much(conn, adapter, decision, elsewhere):
        found.append(external.refunded_elsewhere(elsewhere))
    return found


def was_approved(known: Refund | None, amount: Money, doubt: Hold) -> bool:
    """Whether a person approved exactly this amount and saw this doubt."""
    if known is None or known.approved_minor != amount.minor:
        return False
    return storable(doubt.detail) in (known.approved_detail or "")


def _is_too_much(
    conn: Connection, adapter: str, decision: RefundDecision, elsewhere: Sequence[ExternalRefund]
) -> bool:
    """Whether the amount, with the refunds made `elsewhere`, is more than was granted.

    The grant already counts what the shop's own order showed as refunded then; but the shop may
    have meant what we paid.
    """
    amount, parcel = decision.amount, decision.facts.parcel
    assert amount is not None
    assert decision.payment is not None
    paid = sum(it.amount.minor for it in elsewhere)
    accounted = _minor(parcel.accounted, amount) or 0
    if accounted:
        names = external.names_of(decision.payment, decision.listed or ())
        rows = ledger.of_payments(conn, adapter, names)
        ours = (it for it in rows if it.id != decision.row_id and it.state not in UNPAID)
        accounted = max(0, accounted - sum(it.amount.minor for it in ours if it.amount is not None))
    granted = _minor(parcel.granted, amount)
    unaccounted = max(0, paid - accounted)
    most = amount.minor if granted is None else granted
    return unaccounted > 0 and unaccounted + amount.minor > most


def _is_duplicate(other: Refund, facts: TicketFacts) -> bool:
    """Whether another ticket's refund of the same payment and amount is for the same order."""
    if (other.workspace_id, other.ticket_id) == (facts.workspace_id, facts.ticket_id):
        return False  # another parcel of the same ticket
    known = other.order_id is not None and facts.order_id is not None
    return not known or same_order(other.order_id or "", facts.order_id or "")


def _minor(amount: Money | None, like: Money) -> int | None:
    """Return minor units that can be added to `like`'s, or None where there are none."""
    if amount is None or (amount.currency, amount.decimals) != (like.currency, like.decimals):
        return None
    return amount.minor
