"""The audit log: what people did to refunds, labels, switches and events, and why. Append-only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from dispatch_returns.store import queue
from dispatch_returns.store.schema import acts


@dataclass(frozen=True, slots=True)
class Act:
    """What a person did. ``subject`` names what it was done to, if that was not a refund."""

    id: int
    refund_id: str | None
    action: str
    who: str
    why: str | None
    at: datetime
    subject: str | None


def record(
    conn: Connection,
    action: str,
    now: datetime,
    *,
    who: str,
    why: str | None,
    refund_id: str | None = None,
    subject: str | None = None,
) -> None:
    """Record what a person did, in the same transaction."""
    values = {"refund_id": refund_id, "act": action, "who": who, "why": why, "at": now}
    queue.append(conn, acts, values | {"subject": subject})


def of_refund(conn: Connection, refund_id: str) -> list[Act]:
    """Return what people did to a refund, oldest first."""
    query = select(acts).where(acts.c.refund_id == refund_id).order_by(acts.c.id)
    return [Act(*row) for row in conn.execute(query)]


def newest(conn: Connection, *, limit: int, subject: str | None = None) -> list[Act]:
    """Return up to `limit` actions, newest first."""
    query = select(acts).order_by(acts.c.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(acts.c.subject == subject)
    return [Act(*row) for row in conn.execute(query)]
