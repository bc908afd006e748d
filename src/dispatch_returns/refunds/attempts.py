"""The record of every call made for a refund. Rows are only appended; triggers enforce it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select

from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.store import queue
from dispatch_returns.store.schema import attempts


@dataclass(frozen=True, slots=True)
class Attempt:
    """One call to a processor (``outcome`` is ``sent`` before it, and its result afterwards)."""

    id: int
    refund_id: str
    generation: int
    call: str
    outcome: str
    processor_id: str | None
    code: str | None
    request_id: str | None
    message: str | None
    at: datetime


def record(
    conn: Connection,
    refund: Refund,
    call: str,
    outcome: str,
    now: datetime,
    *,
    processor_id: str | None = None,
    code: str | None = None,
    request_id: str | None = None,
    message: str | None = None,
) -> None:
    """Append a call to the processor, or its result."""
    queue.append(
        conn,
        attempts,
        {
            "refund_id": refund.id,
            "generation": refund.generation,
            "call": call,
            "outcome": outcome,
            "processor_id": processor_id,
            "code": code,
            "request_id": request_id,
            "message": message,
            "at": now,
        },
    )


def of_refund(conn: Connection, row_id: str) -> list[Attempt]:
    """Return every call made for a refund, oldest first."""
    query = select(attempts).where(attempts.c.refund_id == row_id).order_by(attempts.c.id)
    return [Attempt(*row) for row in conn.execute(query)]


def tried_since(conn: Connection, refund: Refund) -> datetime | None:
    """Return when the first call with the current key was made, or None if there was none."""
    first = select(func.min(attempts.c.at)).where(
        attempts.c.refund_id == refund.id, attempts.c.generation == refund.generation
    )
    found: datetime | None = conn.execute(first).scalar_one()
    return found
