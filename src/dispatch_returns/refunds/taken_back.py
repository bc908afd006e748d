"""Whether people still want a waiting refund: compares the current ticket with the row. Pure."""

from __future__ import annotations

from decimal import Decimal

from dispatch_returns.refunds.guard import Hold, Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.ticket_facts import TicketFacts


def taken_back(
    refund: Refund, facts: TicketFacts, *, status_is_ours: bool, amount_is_its: bool
) -> Hold | None:
    """Return why `refund`, of which nothing was sent, must no longer be sent.

    `facts` is the ticket as it is now. `status_is_ours`: the status is one that stood when the
    refund was entered, or that we have set since. `amount_is_its`: the ticket's amount is for this
    refund, and not for a later parcel.
    """
    assert refund.amount is not None  # only a held refund can lack one
    before = f"before the refund of {refund.amount} was sent"
    if facts.removed is not None:
        return Hold(Reason.TAKEN_BACK, f"The ticket {facts.removed}. That was done {before}.")
    if not status_is_ours:
        return Hold(Reason.TAKEN_BACK, f"The ticket was set to {facts.status} {before}.")
    if amount_is_its and not _is_still(refund, facts):
        return Hold(Reason.CHANGED_MEANWHILE, f"The ticket was changed {before}.")
    return None


def deleted(refund: Refund) -> Hold:
    """Return the hold for a refund whose ticket no longer exists in the API."""
    detail = f"The ticket was deleted before the refund of {refund.amount} was sent."
    return Hold(Reason.TAKEN_BACK, detail)


def _is_still(refund: Refund, facts: TicketFacts) -> bool:
    assert refund.amount is not None
    if facts.parcel.amount is not None:
        return True  # the ticket no longer mentions this parcel
    if facts.currency is not None and facts.currency.upper() != refund.amount.currency:
        return False
    return isinstance(facts.amount, Decimal) and facts.amount == refund.amount.major
