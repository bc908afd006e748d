"""Go-live: the tickets that were `refunded` before this installation, which it does not pay."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, select, update

from dispatch_returns.store import queue
from dispatch_returns.store.schema import go_live, ledger, settled_before


@dataclass(frozen=True, slots=True)
class Beginning:
    """The go-live of a workspace. ``page`` is the cursor of the next page of its tickets.

    Until ``completed_at`` is set, the tickets that were settled before are not all known.
    """

    workspace_id: str
    began_at: datetime
    page: str | None
    completed_at: datetime | None


def get(conn: Connection, workspace_id: str) -> Beginning | None:
    """Return the go-live of a workspace, None if it has not started."""
    row = conn.execute(select(go_live).where(go_live.c.workspace_id == workspace_id)).one_or_none()
    return None if row is None else Beginning(*row)


def is_complete(conn: Connection, workspace_id: str) -> bool:
    """Return whether all tickets of a workspace that were settled before are known."""
    found = get(conn, workspace_id)
    return found is not None and found.completed_at is not None


def begin(conn: Connection, workspace_id: str, now: datetime) -> Beginning:
    """Return the go-live of a workspace; start it if it has not started."""
    queue.insert_new(conn, go_live, {"workspace_id": workspace_id, "began_at": now})
    found = get(conn, workspace_id)
    assert found is not None
    return found


def keep(
    conn: Connection,
    workspace_id: str,
    ticket_ids: Collection[str],
    page: str | None,
    now: datetime,
) -> None:
    """Keep a page of tickets that were settled before; `page` is the next page, None at the end.

    A ticket with a row in the ledger does not count: this installation has dealt with it.
    """
    known = select(ledger.c.ticket_id).where(
        ledger.c.workspace_id == workspace_id, ledger.c.ticket_id.in_(ticket_ids)
    )
    paid_here = set(conn.execute(known).scalars())
    rows = [
        {"workspace_id": workspace_id, "ticket_id": ticket_id}
        for ticket_id in ticket_ids
        if ticket_id not in paid_here
    ]
    if rows:
        queue.insert_all_new(conn, settled_before, rows)
    conn.execute(
        update(go_live)
        .where(go_live.c.workspace_id == workspace_id)
        .values(page=page, completed_at=None if page else now)
    )


def settle(conn: Connection, workspace_id: str, ticket_id: str) -> None:
    """Treat a ticket as settled before: it may have been paid, so a person must want it paid."""
    row = {"workspace_id": workspace_id, "ticket_id": ticket_id}
    queue.insert_new(conn, settled_before, row)


def is_before(conn: Connection, workspace_id: str, ticket_id: str) -> bool:
    """Return whether a ticket was settled before, and has had no other status since."""
    return bool(among(conn, workspace_id, [ticket_id]))


def among(conn: Connection, workspace_id: str, ticket_ids: Collection[str]) -> set[str]:
    """Return which of `ticket_ids` were settled before."""
    query = select(settled_before.c.ticket_id).where(
        settled_before.c.workspace_id == workspace_id, settled_before.c.ticket_id.in_(ticket_ids)
    )
    return set(conn.execute(query).scalars())


def release(conn: Connection, workspace_id: str, ticket_id: str) -> None:
    """Treat a ticket as new from now on: it had another status, or a person wants it paid."""
    conn.execute(
        delete(settled_before).where(
            settled_before.c.workspace_id == workspace_id,
            settled_before.c.ticket_id == ticket_id,
        )
    )


def newest(conn: Connection) -> Beginning | None:
    """Return the latest go-live in this database, of any workspace."""
    row = conn.execute(select(go_live).order_by(go_live.c.began_at.desc()).limit(1)).one_or_none()
    return None if row is None else Beginning(*row)


def count(conn: Connection) -> int:
    """Return how many tickets were settled before."""
    return int(conn.execute(select(func.count()).select_from(settled_before)).scalar_one())


def again(conn: Connection, workspace_id: str) -> None:
    """List the settled tickets once more: the ledger rows of some may be lost."""
    which = go_live.c.workspace_id == workspace_id
    conn.execute(update(go_live).where(which).values(page=None, completed_at=None))
