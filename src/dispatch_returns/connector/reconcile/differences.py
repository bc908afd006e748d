"""What can differ between the books, why, and what to do about it. Pure."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dispatch_returns.connector.reconcile.books import digits
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import KnownRefund, PaymentRef
from dispatch_returns.refunds.external import seen_of, settles_row
from dispatch_returns.refunds.guard import Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.sync import moves
from dispatch_returns.refunds.transitions import State


class Cause(enum.StrEnum):
    """Why the books differ."""

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
    REFUNDED_ELSEWHERE = "refunded_elsewhere"
    PARCEL_NOT_ENTERED = "parcel_not_entered"
    PARCEL_NOT_PAID = "parcel_not_paid"
    UNREADABLE_TICKET = "unreadable_ticket"
    UNREADABLE_REFUND = "unreadable_refund"


EXPLAINED: Mapping[Cause, tuple[str, str]] = {
    Cause.NEVER_ENTERED: (
        "The ticket says refunded, and its event never arrived.",
        "Run it with --fix: the ticket is entered. Look at the webhook: dispatch-returns doctor.",
    ),
    Cause.NOT_PAID: (
        "The ticket says refunded, and its refund was not paid.",
        "Run it with --fix: it is judged anew, or the ticket is taken back with a note.",
    ),
    Cause.NOT_IN_LEDGER: (
        "A refund was made for this ticket, and the ledger has no row: was a backup restored?",
        "Run it with --fix: the ticket is entered and finds the refund.",
    ),
    Cause.NOT_KNOWN_HERE: (
        "The refund was made, and its row does not say so.",
        "Run it with --fix: what the processor says is written down.",
    ),
    Cause.MADE_ELSEWHERE: (
        "The payment was refunded by somebody else (in the dashboard, say), of this amount.",
        "Run it with --fix: the ticket that waits adopts it; nothing more is paid.",
    ),
    Cause.FAILED_LATER: (
        "The refund failed at the processor after all.",
        "Run it with --fix: it is written down, and the ticket taken back to a person.",
    ),
    Cause.STATE_DIFFERS: (
        "The processor's refund has moved on.",
        "Run it with --fix: what the processor says is written down.",
    ),
    Cause.NO_REFUND: (
        "The row says paid, and the processor has no such refund.",
        "Look at the payment at the processor: was it made with another account or mode?",
    ),
    Cause.AMOUNT_DIFFERS: (
        "The processor has refunded another amount than the row says.",
        "Look at this refund at the processor and settle the difference by hand.",
    ),
    Cause.TICKET_AMOUNT_DIFFERS: (
        "The ticket asks for another amount than was paid.",
        "The refund stands as it was paid. Correct the ticket, or pay the rest by hand.",
    ),
    Cause.OUTCOME_UNKNOWN: (
        "It is not known whether this refund was paid, and the processor does not have it.",
        "Look there by the metadata dispatch_refund_id, then: dispatch-returns refunds retry.",
    ),
    Cause.PAID_TWICE: (
        "Money may have been paid twice.",
        "Look at these refunds at the processor, and find out who made them.",
    ),
    Cause.CLAIMED_TWICE: (
        "Two rows count on one refund of the processor's, so one customer did not get theirs.",
        (
            "Check at the processor whose refund it is (metadata dispatch_ticket_id), and pay the"
            " other customer by hand. The database's index on it is missing: dispatch-returns db."
        ),
    ),
    Cause.REFUNDED_ELSEWHERE: (
        "Somebody else has refunded a payment of a return as well (in the dashboard, say).",
        (
            "Look what it was for. If for a refund that waits here, cancel that one:"
            " dispatch-returns refunds cancel. If for one that failed, run --fix, then:"
            " dispatch-returns refunds retry, which takes over a refund of the same amount."
        ),
    ),
    Cause.PARCEL_NOT_ENTERED: (
        "An earlier parcel was accepted, and its refund has no row: was a backup restored?",
        (
            "Look at the processor for this refund's id (metadata dispatch_refund_id). If it is"
            " not there, this parcel was not paid: refund it there by hand."
        ),
    ),
    Cause.PARCEL_NOT_PAID: (
        "An earlier parcel of the return was accepted, and its refund was not paid.",
        "Run for this refund: dispatch-returns refunds retry. It keeps the parcel's own amount.",
    ),
    Cause.UNREADABLE_TICKET: (
        "The API's answer about this ticket cannot be understood, so it was not compared.",
        "Correct the fields that are named on the ticket, then compare again.",
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
"""What can be put right without a guess and without a payment: entered, adopted, written down."""


@dataclass(frozen=True, slots=True)
class ParcelRow:
    """A parcel that was accepted, and its row, where there is one.

    ``amount``: what it was found to be worth. ``given_up``: a person has canceled its refund.
    """

    refund_id: str
    ordinal: int
    amount: Money | None
    row: Refund | None
    given_up: bool


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference. ``fixed`` is what came of ``--fix``: None where it was not tried."""

    cause: Cause
    ticket_id: str | None = None
    refund_id: str | None = None
    processor_id: str | None = None
    detail: str = ""
    fixed: bool | None = None
    payment: PaymentRef | None = None

    @property
    def why(self) -> str:
        """What is the case."""
        return EXPLAINED[self.cause][0]

    @property
    def remedy(self) -> str:
        """What to do."""
        return EXPLAINED[self.cause][1]

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do."""
        return self.fixed is True

    def as_record(self) -> dict[str, Any]:
        """Return it for machines."""
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


_PAID = frozenset({State.PENDING, State.REQUIRES_ACTION, State.SUCCEEDED})
_UNDER_WAY = frozenset({State.REQUESTED, State.SENDING})
_NOT_PAID = frozenset({State.FAILED, State.CANCELED})


def of_row(
    row: Refund, refunds: Sequence[KnownRefund], others: Collection[str | None]
) -> Difference | None:
    """Return where a row and its payment's refunds differ, both as they are now.

    `others` are the processor's ids that belong to other rows.
    """
    if row.state is State.SENDING:
        return None  # a call is under way
    ours = [it for it in refunds if it.refund_id == row.id and moves(it)]
    own = next((it for it in refunds if it.result.processor_id == row.processor_id), None)
    more = [it for it in ours if it is not own]
    if len(ours) > 1 or (more and row.state in _PAID and own is not None and moves(own)):
        ids = ", ".join(sorted({it.result.processor_id for it in [*ours, *([own] if own else [])]}))
        return _difference(Cause.PAID_TWICE, row, detail=ids)
    if more:
        return _difference(Cause.NOT_KNOWN_HERE, row, more[0])
    found = _of_paid(row, own) if row.state in _PAID else _of_not_paid(row, own)
    return found or _of_elsewhere(row, refunds, others) or _of_unknown(row)


def _of_paid(row: Refund, own: KnownRefund | None) -> Difference | None:
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


def _of_not_paid(row: Refund, own: KnownRefund | None) -> Difference | None:
    """A refund that had failed may go through after all."""
    if row.state not in _NOT_PAID | {State.HELD} or own is None or not moves(own):
        return None
    detail = f"{own.result.status} there, {row.state} here"
    return _difference(Cause.STATE_DIFFERS, row, own, detail)


def _of_elsewhere(
    row: Refund, refunds: Sequence[KnownRefund], others: Collection[str | None]
) -> Difference | None:
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
    """Whether a refund that somebody else made is what this row pays, or shall pay."""
    if row.state in _PAID:
        return row.amount == known.result.amount
    return row.state not in _NOT_PAID and settles_row(seen_of(row.adapter, known), row)


def beside(rows: Sequence[Refund], known: KnownRefund) -> Refund | None:
    """Return the newest of a payment's rows, where none may be what somebody else refunded."""
    if not moves(known) or any(_may_be_of(known, row) for row in rows):
        return None
    return rows[-1] if rows else None


def of_refund(cause: Cause, known: KnownRefund, payment: PaymentRef) -> Difference:
    """Return that a refund has no row."""
    result = known.result
    return Difference(
        cause,
        known.ticket_id,
        known.refund_id,
        result.processor_id,
        str(result.amount),
        payment=payment,
    )


def _of_unknown(row: Refund) -> Difference | None:
    if row.state is not State.UNKNOWN or row.reason is None:
        return None
    if row.reason == Reason.AMOUNT_DIFFERS:
        return _difference(Cause.AMOUNT_DIFFERS, row, detail=row.detail or "")
    return _difference(Cause.OUTCOME_UNKNOWN, row)


def of_ticket(row: Refund | None, ticket_id: str, asked: str | None) -> Difference | None:
    """Return where a ticket that says refunded and its row differ.

    `asked` is what the ticket asks for, as `books.digits` writes it.
    """
    if row is None:
        return Difference(Cause.NEVER_ENTERED, ticket_id)
    if _comes_to_an_end(row):
        return None
    if row.state in _PAID:
        paid = row.amount and digits(row.amount.major)
        if row.adopted or asked is None or asked == paid:
            return None
        detail = f"{asked} on the ticket, {row.amount} paid"
        return _difference(Cause.TICKET_AMOUNT_DIFFERS, row, detail=detail)
    return _difference(Cause.NOT_PAID, row, detail=f"{row.state}: {row.reason}")


def of_parcel(parcel: ParcelRow, ticket_id: str) -> Difference | None:
    """Return what is wrong with an earlier parcel, of which its ticket says nothing any more."""
    row = parcel.row
    what = f"parcel {parcel.ordinal}, {(row and row.amount) or parcel.amount or 'no amount'}"
    if row is None:
        return Difference(Cause.PARCEL_NOT_ENTERED, ticket_id, parcel.refund_id, detail=what)
    if row.state in _PAID or _comes_to_an_end(row):
        return None
    if row.state is State.CANCELED and parcel.given_up:
        return None
    detail = f"{what}: {row.state}, {row.reason}"
    return _difference(Cause.PARCEL_NOT_PAID, row, detail=detail)


def _comes_to_an_end(row: Refund) -> bool:
    """Whether it is under way or being looked up, or is not to be paid."""
    looked_up = row.state is State.UNKNOWN and row.reason is None
    return row.state in _UNDER_WAY or looked_up or row.reason == Reason.DRY_RUN


def _difference(
    cause: Cause, row: Refund, known: KnownRefund | None = None, detail: str = ""
) -> Difference:
    processor_id = known.result.processor_id if known else row.processor_id
    payment = PaymentRef(**row.payment) if row.payment else None
    return Difference(cause, row.ticket_id, row.id, processor_id, detail, payment=payment)
