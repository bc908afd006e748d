"""The decision on a ticket before anything is written, and the row that follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from dispatch_returns.money import Money
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.adapter import KnownRefund, PaymentRef
from dispatch_returns.refunds.details import RefundDetails
from dispatch_returns.refunds.external import ExternalRefund
from dispatch_returns.refunds.guard import Hold
from dispatch_returns.refunds.ledger import RefundChanges
from dispatch_returns.refunds.owner import NOT_KNOWN, Owner
from dispatch_returns.refunds.owner_approvals import Question
from dispatch_returns.refunds.ticket_facts import TicketFacts
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store.schema import storable


@dataclass(frozen=True, slots=True)
class RefundDecision:
    """What the ticket asks for, once checked: an amount and its payment, or a hold.

    With a hold, the amount is what the ticket asks for, where that is clear. ``doubts`` are what a
    second person must approve. ``names`` are all ids of the payment.

    ``listed`` are the payment's refunds as the processor listed them at the check; None where it
    cannot list them. ``look_first``: money has moved on this payment before, so the service asks
    the processor whether it was this refund (the store may have been restored from a backup).
    ``owner`` says whose order it is, and ``email`` is where a processor writes to a customer who
    must act.
    """

    facts: TicketFacts
    payment: PaymentRef | None = None
    amount: Money | None = None
    hold: Hold | None = None
    doubts: tuple[Hold, ...] = ()
    listed: tuple[KnownRefund, ...] | None = None
    look_first: bool = False
    names: frozenset[str] = frozenset()
    owner: Owner = NOT_KNOWN
    email: str | None = field(default=None, repr=False)

    @property
    def adapter(self) -> str | None:
        """The configured name of the adapter that took the payment, None where that is unclear."""
        return None if self.payment is None else self.payment.adapter

    @property
    def payment_ids(self) -> frozenset[str]:
        """Every id of the payment: a decision on one is a decision on all."""
        return self.names if self.payment is None else self.names | {self.payment.id}

    @property
    def question(self) -> Question:
        """The question for a person where the order belongs to another customer."""
        return Question(self.facts.workspace_id, self.facts.ticket_id, self.owner.subject)

    @property
    def details(self) -> RefundDetails:
        """What the refund is for; without shares where its amount is not the one granted."""
        parcel = self.facts.parcel
        same = parcel.granted is not None and parcel.granted == self.amount
        return parcel.details if same else parcel.details.without_amounts()

    @property
    def row_id(self) -> str:
        """The id of the ledger's row for this intent."""
        facts = self.facts
        return ledger.refund_id(facts.workspace_id, facts.ticket_id, facts.parcel.ordinal)

    @property
    def payment_columns(self) -> dict[str, Any] | None:
        """The payment as the row stores it."""
        return None if self.payment is None else asdict(self.payment)


def entry(
    decision: RefundDecision, hold: Hold | None, elsewhere: Sequence[ExternalRefund]
) -> RefundChanges:
    """Return the values of a row that is held, or waits to be sent.

    `elsewhere` are the external refunds that the check counted.
    """
    return {
        "counted": [storable(it.processor_id) for it in elsewhere] or None,
        "reason": hold.reason if hold else None,
        "detail": hold.detail if hold else None,
        "amount": decision.amount,
        "payment": decision.payment_columns,
        "order_id": decision.facts.order_id,
        "details": decision.details.to_json(),
        "instructions_email": decision.email,
        "ticket_status": decision.facts.status,
        "requested_at": decision.facts.requested_at,
        "uncertain": decision.look_first,
        "tries": 0,
    }


def adoption(decision: RefundDecision, elsewhere: ExternalRefund) -> tuple[State, RefundChanges]:
    """Return the state and the values of a row that adopts an external refund."""
    values = entry(decision, None, ())
    values["processor_id"] = elsewhere.processor_id
    values["adopted"] = True
    values["uncertain"] = False
    values["due_at"] = None
    return State(elsewhere.status), values
