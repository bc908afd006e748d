"""A database restored from a backup: it pays nothing until it knows what was paid since."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, func, select, update

from dispatch_returns.store import queue, switches
from dispatch_returns.store.schema import inbox, ledger, outbox, restores
from dispatch_returns.store.switches import Switch


@dataclass(frozen=True, slots=True)
class Restore:
    """A restore that a person has declared. ``known_until``: the newest time in the backup."""

    id: int
    at: datetime
    known_until: datetime | None
    completed_at: datetime | None


def declare(conn: Connection, now: datetime, *, who: str, why: str | None) -> Restore:
    """Hold all payments until the processor's refunds are reconciled with the ledger.

    A refund that the backup was sending may have been paid, and a message that was waiting may
    have been delivered: both are looked up before anything is repeated.
    """
    columns = (inbox.c.received_at, ledger.c.updated_at, outbox.c.created_at)
    times = [conn.execute(select(func.max(column))).scalar_one() for column in columns]
    known_until = max((at for at in times if at is not None), default=None)
    switches.throw(conn, Switch.RESTORED, now, is_on=True, who=who, why=why)
    conn.execute(
        update(ledger)
        .where(ledger.c.state == "sending")
        .values(state="unknown", uncertain=True, due_at=now, claims=ledger.c.claims + 1)
    )
    waiting = outbox.c.due_at.is_not(None)
    conn.execute(update(outbox).where(waiting).values(claims=outbox.c.claims + 1, due_at=now))
    queue.append(conn, restores, {"at": now, "known_until": known_until})
    found = pending(conn)
    assert found is not None
    return found


def newest(conn: Connection) -> Restore | None:
    """Return the newest restore, None if there was none."""
    query = select(restores).order_by(restores.c.id.desc()).limit(1)
    row = conn.execute(query).one_or_none()
    return None if row is None else Restore(*row)


def pending(conn: Connection) -> Restore | None:
    """Return the newest restore, if it is not complete."""
    found = newest(conn)
    return None if found is None or found.completed_at is not None else found


def complete(conn: Connection, now: datetime, *, why: str) -> None:
    """Resume payments: what was paid since the backup is in the ledger now."""
    conn.execute(update(restores).where(restores.c.completed_at.is_(None)).values(completed_at=now))
    who = "dispatch-returns"
    switches.throw(conn, Switch.RESTORED, now, is_on=False, who=who, why=why)
