"""Receipts: what arrived, package by package. Their numbers are the refunds' ordinals."""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import Connection, RowMapping, and_, func, or_, select, update

from dispatch_returns.money import Money
from dispatch_returns.refunds.amounts import gather, spread
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns.records import CLOSED, Return
from dispatch_returns.returns.transitions import Step
from dispatch_returns.store import queue
from dispatch_returns.store.schema import ledger, receipts, returns


class ReceiptState(enum.StrEnum):
    """The state of a receipt."""

    NOTED = "noted"
    """It was recorded what arrived; nothing has followed yet."""
    SETTLED = "settled"
    """Its refund amount is on the ticket, and not accepted yet."""
    REVIEW = "review"
    """A person must decide whether it is refunded, and how much."""
    ACCEPTED = "accepted"
    """It can be refunded, and its number is the refund's ordinal."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A row of `receipts`. ``lines`` are SKU, quantity and condition; ``ordinal`` counts from 1.

    ``returnless``: the customer keeps the items, by the policy.
    """

    id: str
    return_id: str
    ordinal: int
    key: str | None
    state: ReceiptState
    lines: Sequence[Mapping[str, Any]]
    received_date: str | None
    who: str
    amount: Money | None
    breakdown: Mapping[str, Any] | None
    detail: str | None
    created_at: datetime
    updated_at: datetime

    @property
    def returnless(self) -> bool:
        """Whether the customer keeps the items, so that nothing arrives."""
        return self.received_date is None


def _receipt(row: RowMapping) -> Receipt:
    values = gather({str(column): value for column, value in row.items()})
    values["state"] = ReceiptState(values["state"])
    return Receipt(**values)


class ReceiptChanges(TypedDict, total=False):
    """The columns of a row that may change."""

    state: ReceiptState
    lines: Sequence[Mapping[str, Any]]
    received_date: str | None
    who: str
    amount: Money | None
    breakdown: Mapping[str, Any] | None
    detail: str | None


def note(
    conn: Connection,
    return_id: str,
    now: datetime,
    *,
    key: str | None = None,
    **values: Unpack[ReceiptChanges],
) -> Receipt:
    """Record what arrived, with the next number; return the known receipt for a known `key`."""
    # Locked, as two transactions at once would use the same number. SQLite has one writer.
    conn.execute(
        select(returns.c.id).where(returns.c.id == return_id).with_for_update(key_share=True)
    )
    if key is not None:
        known = select(receipts).where(receipts.c.return_id == return_id, receipts.c.key == key)
        if row := conn.execute(known).mappings().one_or_none():
            return _receipt(row)
    highest = select(func.max(receipts.c.ordinal)).where(receipts.c.return_id == return_id)
    ordinal = (conn.execute(highest).scalar_one() or 0) + 1
    fresh = {
        "id": f"rcp_{return_id.removeprefix('ret_')}_{ordinal}",
        "return_id": return_id,
        "ordinal": ordinal,
        "key": key,
        "state": ReceiptState.NOTED,
        "created_at": now,
        "updated_at": now,
    }
    queue.append(conn, receipts, fresh | spread({**values}))
    return of_return(conn, return_id)[-1]


def change(
    conn: Connection, row: Receipt, now: datetime, **values: Unpack[ReceiptChanges]
) -> Receipt:
    """Change a receipt of a return that the caller holds; return it as it is then."""
    changed = spread({**values}) | {"updated_at": now}
    statement = (
        update(receipts).where(receipts.c.id == row.id).values(changed).returning(*receipts.c)
    )
    return _receipt(conn.execute(statement).mappings().one())


def of_return(conn: Connection, return_id: str) -> list[Receipt]:
    """Return the receipts of a return, oldest first."""
    query = select(receipts).where(receipts.c.return_id == return_id).order_by(receipts.c.ordinal)
    return [_receipt(row) for row in conn.execute(query).mappings()]


def accepted(conn: Connection, return_ids: Collection[str]) -> dict[str, list[int]]:
    """Return the numbers of the accepted receipts of several returns, oldest first.

    A return without one is left out.
    """
    query = (
        select(receipts.c.return_id, receipts.c.ordinal)
        .where(receipts.c.return_id.in_(return_ids), receipts.c.state == ReceiptState.ACCEPTED)
        .order_by(receipts.c.return_id, receipts.c.ordinal)
    )
    found: dict[str, list[int]] = {}
    for return_id, ordinal in conn.execute(query):
        found.setdefault(return_id, []).append(ordinal)
    return found


_UNPAID = (State.HELD, State.FAILED, State.CANCELED)
_NEVER_SETTLE = (Step.REJECTED, Step.GONE)


def of_others(conn: Connection, row: Return) -> list[Receipt]:
    """Return the receipts of the order's other returns that are settled or refunded, oldest first.

    A receipt that a person has still to decide on is left out, and so is an accepted one that was
    not paid if its return is over by now.
    """
    if row.order_key is None:
        return []
    refund = and_(
        ledger.c.workspace_id == returns.c.workspace_id,
        ledger.c.ticket_id == returns.c.ticket_id,
        ledger.c.ordinal == receipts.c.ordinal,
    )
    accepted = and_(receipts.c.state == ReceiptState.ACCEPTED, returns.c.step.not_in(CLOSED))
    # A return is still expired when a package that arrived late has just been settled.
    settled = and_(receipts.c.state == ReceiptState.SETTLED, returns.c.step.not_in(_NEVER_SETTLE))
    query = (
        select(receipts)
        .join(returns, receipts.c.return_id == returns.c.id)
        .outerjoin(ledger, refund)
        .where(
            returns.c.workspace_id == row.workspace_id,
            returns.c.order_key == row.order_key,
            returns.c.id != row.id,
            or_(ledger.c.state.not_in(_UNPAID), settled, accepted),
        )
        .order_by(receipts.c.created_at, receipts.c.id)
    )
    return [_receipt(found) for found in conn.execute(query).mappings()]
