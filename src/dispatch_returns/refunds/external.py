"""External refunds: refunds at the processor that no row of the ledger made, as far as seen.

They come from the processor's dashboard, from another program, or from a row that a restored backup
lacks. Before a payment is refunded, the processor lists the payment's refunds; the refunds recorded
here count as well, because they may have arrived since.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import Connection, RowMapping, and_, bindparam, or_, select, update

from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import (
    NO_MONEY_MOVED,
    KnownRefund,
    PaymentRef,
    RefundStatus,
)
from dispatch_returns.refunds.amounts import gather, spread
from dispatch_returns.refunds.guard import Hold, Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.store import queue
from dispatch_returns.store.dialect import backend
from dispatch_returns.store.schema import external_refunds, ledger, storable


@dataclass(frozen=True, slots=True)
class ExternalRefund:
    """An external refund. ``refund_id`` is the ledger's id that it carries, if any."""

    adapter: str
    processor_id: str
    payment_id: str | None
    payment_also: str | None
    refund_id: str | None
    ticket_id: str | None
    amount: Money
    status: str
    made_at: datetime


def _external_refund(row: RowMapping) -> ExternalRefund:
    values = gather({str(column): value for column, value in row.items()})
    del values["seen_at"]
    return ExternalRefund(**values)


def note(conn: Connection, seen: ExternalRefund, now: datetime) -> bool:
    """Store a refund, or its current status; return whether it was new."""
    values = {field.name: getattr(seen, field.name) for field in fields(seen)}
    new = queue.insert_new(conn, external_refunds, spread(values) | {"seen_at": now})
    if not new:
        which = (
            external_refunds.c.adapter == seen.adapter,
            external_refunds.c.processor_id == seen.processor_id,
        )
        conn.execute(update(external_refunds).where(*which).values(status=seen.status))
    return new


def look_alone(conn: Connection, adapter: str, payment_ids: Collection[str]) -> None:
    """Lock this payment against other transactions until this one ends.

    Otherwise one transaction could enter a refund while another records that it exists already, and
    neither would see the other. Call it before the transaction locks its first row of the ledger:
    two transactions that take the locks in different orders would wait for each other.
    """
    for payment_id in sorted(payment_ids):
        backend(conn).lock_until_the_end(conn, f"payment {adapter} {payment_id}")


def of_payment(
    conn: Connection, adapter: str, payment_ids: Collection[str]
) -> list[ExternalRefund]:
    """Return the refunds that were seen of a payment, by any of its ids, oldest first."""
    found: dict[str, ExternalRefund] = {}
    # One query for each column, and so for each index.
    for name in (external_refunds.c.payment_id, external_refunds.c.payment_also):
        query = select(external_refunds).where(
            external_refunds.c.adapter == adapter, name.in_(payment_ids)
        )
        found |= {
            row["processor_id"]: _external_refund(row) for row in conn.execute(query).mappings()
        }
    return sorted(found.values(), key=lambda it: (it.made_at, it.processor_id))


def of_no_row(conn: Connection, seen: Iterable[ExternalRefund]) -> list[ExternalRefund]:
    """Return those of `seen` that no row of the ledger has made or adopted."""
    found: list[ExternalRefund] = []
    for it in seen:
        processor = storable(it.processor_id)
        named = {"adapter": it.adapter, "processor": processor, "refund": it.refund_id}
        if conn.execute(_ROW, named).first() is None:
            found.append(it)
    return found


_ROW = select(ledger.c.id).where(
    or_(
        ledger.c.id == bindparam("refund"),
        and_(
            ledger.c.adapter == bindparam("adapter"),
            ledger.c.processor_id == bindparam("processor"),
        ),
    )
)


def refunded_elsewhere(seen: Sequence[ExternalRefund]) -> Hold:
    """Return the hold for a payment that was refunded elsewhere."""
    said = ", ".join(f"{it.amount} ({it.processor_id})" for it in seen)
    detail = f"This payment was already refunded elsewhere: {said}."
    return Hold(Reason.REFUNDED_ELSEWHERE, detail)


def settles(
    seen: ExternalRefund, ticket_id: str, amount: Money | None, requested_at: datetime | None
) -> bool:
    """Whether an external refund is the one that a ticket asks for.

    It has exactly the ticket's amount, names no other ticket, and was made after the customer's
    request: an earlier refund was for something else.
    """
    if seen.refund_id is not None or seen.ticket_id not in {None, ticket_id}:
        return False
    if amount is None or seen.amount != amount or requested_at is None:
        return False
    # Processors report whole seconds.
    return seen.made_at >= requested_at.replace(microsecond=0)


def settles_row(seen: ExternalRefund, row: Refund) -> bool:
    """Whether an external refund is the one that a row waits to pay."""
    return settles(seen, row.ticket_id, row.amount, row.requested_at)


def seen_of(adapter: str, known: KnownRefund) -> ExternalRefund:
    """Return the processor's refund in the form that the store keeps."""
    first, second = ([ref.id for ref in known.payments] + [None, None])[:2]
    return ExternalRefund(
        adapter=adapter,
        processor_id=known.result.processor_id,
        payment_id=first,
        payment_also=second,
        refund_id=known.refund_id,
        ticket_id=known.ticket_id,
        amount=known.result.amount,
        status=known.result.status,
        made_at=known.created_at,
    )


def names_of(payment: PaymentRef, listed: Iterable[KnownRefund]) -> set[str]:
    """Return all ids of a payment, as its refunds show them."""
    return {payment.id} | {ref.id for it in listed for ref in it.payments}


def moved(
    conn: Connection, adapter: str, names: Collection[str], listed: Iterable[KnownRefund]
) -> list[ExternalRefund]:
    """Return the refunds that moved money on the payment with these `names`, and no row has.

    They are those that the processor `listed`, and those that its webhook reported.
    """
    seen = {it.processor_id: it for it in of_payment(conn, adapter, names)}
    seen |= {it.result.processor_id: seen_of(adapter, it) for it in listed}
    moving = [it for it in seen.values() if RefundStatus(it.status) not in NO_MONEY_MOVED]
    moving.sort(key=lambda it: (it.made_at, it.processor_id))
    return of_no_row(conn, moving)


def beside(conn: Connection, row: Refund, listed: Sequence[KnownRefund]) -> list[ExternalRefund]:
    """Return the refunds that moved money on a row's payment, and no row has.

    The payment stays locked until the transaction ends.
    """
    if not listed or row.payment is None:
        return []
    assert row.adapter is not None  # it listed them
    ref = PaymentRef(**row.payment)
    look_alone(conn, row.adapter, [ref.id])
    return moved(conn, row.adapter, names_of(ref, listed), listed)
