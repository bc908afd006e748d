"""What can differ between the tickets, the ledger and the processor, why, and what to do. Pure."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dispatch_returns.connector.reconcile.lists import digits
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import KnownRefund, PaymentRef
from dispatch_returns.refunds.calls import payment_of
from dispatch_returns.refunds.external import seen_of, settles_row
from dispatch_returns.refunds.guard import Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.sync import moves
from dispatch_returns.refunds.transitions import ACCEPTED, State


class Cause(enum.StrEnum):
    """The cause of a discrepancy."""

    NEVER_ENTERED = "never_entered"
    NOT_PAID = "not_paid"
    NOT_IN_LEDGER = "not_in_ledger"
    NOT_KNOWN_HERE = "not_known_here"
    MADE_ELSEWHERE = "made_elsewhere"
    FAILED_LATER = "failed_later"
    STATE_DIFFERS = "state_differs"
    NO_REFUND = "no_refund"
    AMOUNT_DIFFERS = "amount_differs"
    TICKET_AMOUNT_DIFFERS = "ticket_amount_differs"
    OUTCOME_UNKNOWN = "outcome_unknown"
    PAID_TWICE = "paid_twice"
    CLAIMED_TWICE = "claimed_twice"
    EXTERNAL_REFUND = "external_refund"
    PARCEL_NOT_ENTERED = "parcel_not_entered"
    PARCEL_NOT_PAID = "parcel_not_paid"
    UNREADABLE_TICKET = "unreadable_ticket"
    UNREADABLE_REFUND = "unreadable_refund"


EXPLAINED: Mapping[Cause, tuple[str, str]] = {
    Cause.NEVER_ENTERED: (
        "The ticket is refunded, but its event never arrived.",
        "Run with --fix to enter the ticket. Check the webhook: dispatch-returns doctor.",
    ),
    Cause.NOT_PAID: (
        "The ticket is refunded, but its refund was not paid.",
        "Run with --fix: it is decided again, or the ticket is taken back with a note.",
    ),
    Cause.NOT_IN_LEDGER: (
        "A refund was made for this ticket, but the ledger has no row: was a backup restored?",
        "Run with --fix: the ticket is entered and finds the refund.",
    ),
    Cause.NOT_KNOWN_HERE: (
        "The refund was made, but its row does not say so.",
        "Run with --fix to record the processor's state.",
    ),
    Cause.MADE_ELSEWHERE: (
        "This amount of the payment was refunded elsewhere (in the dashboard, for example).",
        "Run with --fix: the waiting ticket adopts it, and nothing more is paid.",
    ),
    Cause.FAILED_LATER: (
        "The refund failed at the processor later.",
        "Run with --fix: the failure is recorded, and the ticket goes back to a person.",
    ),
    Cause.STATE_DIFFERS: (
        "The state of the refund at the processor has changed.",
        "Run with --fix to record the processor's state.",
    ),
    Cause.NO_REFUND: (
        "The row says paid, but the processor has no such refund.",
        "Check the payment at the processor: was it made with another account or mode?",
    ),
    Cause.AMOUNT_DIFFERS: (
        "The amount refunded at the processor is not the row's.",
        "Check this refund at the processor, and correct the difference by hand.",
    ),
    Cause.TICKET_AMOUNT_DIFFERS: (
        "The amount on the ticket is not the amount that was paid.",
        "The refund stays as it was paid. Correct the ticket, or pay the rest by hand.",
    ),
    Cause.OUTCOME_UNKNOWN: (
        "It is unknown whether this refund was paid, and the processor does not have it.",
        "Search there for the metadata dispatch_refund_id, then: dispatch-returns refunds retry.",
    ),
    Cause.PAID_TWICE: (
        "The customer may have been paid twice.",
        "Check these refunds at the processor, and find out who made them.",
    ),
    Cause.CLAIMED_TWICE: (
        "Two rows share one refund at the processor, so one customer was not paid.",
        (
            "Check at the processor whose refund it is (metadata dispatch_ticket_id), and pay the"
            " other customer by hand. The database's index on it is missing: dispatch-returns db."
        ),
    ),
    Cause.EXTERNAL_REFUND: (
        "The payment of a return was also refunded elsewhere (in the dashboard, for example).",
        (
            "Find out what that was for. If for a refund that waits here, cancel it:"
            " dispatch-returns refunds cancel. If for one that failed, run --fix, then:"
            " dispatch-returns refunds retry, which adopts a refund of the same amount."
        ),
    ),
    Cause.PARCEL_NOT_ENTERED: (
        "An earlier parcel was accepted, but its refund has no row: was a backup restored?",
        (
            "Search at the processor for this refund's id (metadata dispatch_refund_id). If it is"
            " not there, this parcel was not paid: refund it there by hand."
        ),
    ),
    Cause.PARCEL_NOT_PAID: (
        "An earlier parcel of the return was accepted, but its refund was not paid.",
        "Run for this refund: dispatch-returns refunds retry. It keeps the parcel's own amount.",
    ),
    Cause.UNREADABLE_TICKET: (
        "The API's answer about this ticket can't be read, so it was not compared.",
        "Correct the named fields on the ticket, then compare again.",
    ),
    Cause.UNREADABLE_REFUND: (
        "A refund in the processor's list can't be read, so it was not compared.",
        (
            "Check it with the processor. Until it can be read, other refunds of its payment are"
            " held as refund_unreadable."
        ),
    ),
}
FIXABLE = frozenset(
    {
        Cause.NEVER_ENTERED,
        Cause.NOT_PAID,
        Cause.NOT_IN_LEDGER,
        Cause.NOT_KNOWN_HERE,
        Cause.MADE_ELSEWHERE,
        Cause.FAILED_LATER,
        Cause.STATE_DIFFERS,
    }
)
"""What can be fixed without a guess or a payment: by entering, adopting or recording."""


@dataclass(frozen=True, slots=True)
class ParcelRow:
    """An accepted parcel, and its row if there is one.

    ``amount`` is its refund amount. ``canceled``: a person has canceled its refund.
    """

    refund_id: str
    ordinal: int
    amount: Money | None
    row: Refund | None
    canceled: bool


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One discrepancy. ``fixed`` is the result of ``--fix``, None if it was not tried."""

    cause: Cause
    ticket_id: str | None = None
    refund_id: str | None = None
    processor_id: str | None = None
    detail: str = ""
    fixed: bool | None = None
    payment: PaymentRef | None = None

    @property
    def why(self) -> str:
        """What happened."""
        return EXPLAINED[self.cause][0]

    @property
    def remedy(self) -> str:
        """What to do."""
        return EXPLAINED[self.cause][1]

    @property
    def settled(self) -> bool:
        """Whether there is nothing left to do."""
        return self.fixed is True

    def as_record(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "cause": str(self.cause),
            "ticket": self.ticket_id,
            "refund": self.refund_id,
            "processor_id": self.processor_id,
            "detail": self.detail,
            "why": self.why,
            "remedy": self.remedy,
            "fixable": self.cause in FIXABLE,
            "fixed": self.fixed,
        }


_IN_PROGRESS = frozenset({State.REQUESTED, State.SENDING})
_NOT_PAID = frozenset({State.FAILED, State.CANCELED})


def of_row(
    row: Refund, refunds: Sequence[KnownRefund], others: Collection[str | None]
) -> Discrepancy | None:
    """Return how a row and its payment's refunds differ, both as they are now.

    `others` are the processor's ids that belong to other rows.
    """
    if row.state is State.SENDING:
        return None  # a call is running
    ours = [it for it in refunds if it.refund_id == row.id and moves(it)]
    own = next((it for it in refunds if it.result.processor_id == row.processor_id), None)
    more = [it for it in ours if it is not own]
    if len(ours) > 1 or (more and row.state in ACCEPTED and own is not None and moves(own)):
        ids = ", ".join(sorted({it.result.processor_id for it in [*ours, *([own] if own else [])]}))
        return _difference(Cause.PAID_TWICE, row, detail=ids)
    if more:
        return _difference(Cause.NOT_KNOWN_HERE, row, more[0])
    found = _of_own(row, own) or _of_external(row, refunds, others)
    if found is None and row.state is State.UNKNOWN and row.reason is not None:
        if row.reason == Reason.AMOUNT_DIFFERS:
            return _difference(Cause.AMOUNT_DIFFERS, row, detail=row.detail or "")
        return _difference(Cause.OUTCOME_UNKNOWN, row)
    return found


def _of_own(row: Refund, own: KnownRefund | None) -> Discrepancy | None:
    """Return how a row and its own refund differ."""
    if row.state not in ACCEPTED:
        # A refund that had failed may succeed later.
        if row.state not in _NOT_PAID | {State.HELD} or own is None or not moves(own):
            return None
        detail = f"{own.result.status} there, {row.state} here"
        return _difference(Cause.STATE_DIFFERS, row, own, detail)
    if own is None:
        return _difference(Cause.NO_REFUND, row)
    if own.result.amount != row.amount:
        detail = f"{own.result.amount} there, {row.amount} here"
        return _difference(Cause.AMOUNT_DIFFERS, row, own, detail)
    if State(own.result.status) is row.state:
        return None
    detail = f"{own.result.status} there, {row.state} here"
    cause = Cause.STATE_DIFFERS if moves(own) else Cause.FAILED_LATER
    return _difference(cause, row, own, detail)


def _of_external(
    row: Refund, refunds: Sequence[KnownRefund], others: Collection[str | None]
) -> Discrepancy | None:
    """Return that an external refund may be what a row pays."""
    for it in refunds:
        known = it.result.processor_id in others or it.result.processor_id == row.processor_id
        if it.refund_id is None and moves(it) and not known and _may_be_of(it, row):
            waits = row.state is State.HELD or (
                row.state is State.REQUESTED and row.nothing_carried_out
            )
            cause = Cause.MADE_ELSEWHERE if waits else Cause.PAID_TWICE
            return _difference(cause, row, it, str(it.result.amount))
    return None


def _may_be_of(known: KnownRefund, row: Refund) -> bool:
    """Return whether an external refund may be what this row has paid or will pay."""
    if row.state in ACCEPTED:
        return row.amount == known.result.amount
    if row.state in _NOT_PAID or row.adapter is None:
        return False
    return settles_row(seen_of(row.adapter, known), row)


def newest_unrelated(rows: Sequence[Refund], known: KnownRefund) -> Refund | None:
    """Return the newest of a payment's rows, None if an external refund may belong to one."""
    if not moves(known) or any(_may_be_of(known, row) for row in rows):
        return None
    return rows[-1] if rows else None


def of_refund(cause: Cause, known: KnownRefund, payment: PaymentRef) -> Discrepancy:
    """Return a discrepancy for a refund without a row."""
    result = known.result
    return Discrepancy(
        cause,
        known.ticket_id,
        known.refund_id,
        result.processor_id,
        str(result.amount),
        payment=payment,
    )


def of_ticket(row: Refund | None, ticket_id: str, amount: str | None) -> Discrepancy | None:
    """Return how a refunded ticket and its row differ.

    `amount` is the ticket's, written by `lists.digits`.
    """
    if row is None:
        return Discrepancy(Cause.NEVER_ENTERED, ticket_id)
    if _needs_nothing(row):
        return None
    if row.state in ACCEPTED:
        paid = row.amount and digits(row.amount.major)
        if row.adopted or amount is None or amount == paid:
            return None
        detail = f"{amount} on the ticket, {row.amount} paid"
        return _difference(Cause.TICKET_AMOUNT_DIFFERS, row, detail=detail)
    return _difference(Cause.NOT_PAID, row, detail=f"{row.state}: {row.reason}")


def of_parcel(parcel: ParcelRow, ticket_id: str) -> Discrepancy | None:
    """Return what is wrong with an earlier parcel, which its ticket no longer mentions."""
    row = parcel.row
    name = f"parcel {parcel.ordinal}, {(row and row.amount) or parcel.amount or 'no amount'}"
    if row is None:
        return Discrepancy(Cause.PARCEL_NOT_ENTERED, ticket_id, parcel.refund_id, detail=name)
    if row.state in ACCEPTED or _needs_nothing(row):
        return None
    if row.state is State.CANCELED and parcel.canceled:
        return None
    detail = f"{name}: {row.state}, {row.reason}"
    return _difference(Cause.PARCEL_NOT_PAID, row, detail=detail)


def _needs_nothing(row: Refund) -> bool:
    """Return whether a row is in progress, is being looked up, or is not to be paid."""
    looked_up = row.state is State.UNKNOWN and row.reason is None
    return row.state in _IN_PROGRESS or looked_up or row.reason == Reason.DRY_RUN


def _difference(
    cause: Cause, row: Refund, known: KnownRefund | None = None, detail: str = ""
) -> Discrepancy:
    processor_id = known.result.processor_id if known else row.processor_id
    payment = payment_of(row) if row.payment else None
    return Discrepancy(cause, row.ticket_id, row.id, processor_id, detail, payment=payment)
