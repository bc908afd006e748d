"""The workspaces and processor accounts that the database belongs to.

A workspace has a row for each name that a setting, an event or a ticket uses for it; ``account``
is the API's id, from which our own ids are derived. A name without an account came with events
of a workspace that is not ours: those are ignored. An adapter has a row for each account at its
processor; ``account`` and ``mode`` are empty if they are not known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, insert, or_, select, update

from dispatch_returns.store.dialect import backend
from dispatch_returns.store.schema import inbox, installation

Kind = Literal["workspace", "adapter"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A row: something the database belongs to. ``id`` is None until it is written."""

    kind: Kind
    name: str
    account: str | None = None
    mode: str | None = None
    id: int | None = None


def lock(conn: Connection) -> None:
    """Lock the rows until the transaction ends: two processes may start at once."""
    backend(conn).lock_until_the_end(conn, "installation")


def entries(conn: Connection) -> list[Entry]:
    """Return what the database belongs to, oldest first."""
    found = conn.execute(select(installation).order_by(installation.c.id)).mappings()
    return [
        Entry(row["kind"], row["name"], row["account"], row["mode"], row["id"]) for row in found
    ]


def write(conn: Connection, new: Sequence[Entry], now: datetime) -> None:
    """Write entries: those with an id are changed, others are added."""
    for entry in new:
        values: dict[str, Any] = {"account": entry.account, "mode": entry.mode}
        if entry.id is None:
            row = {"kind": entry.kind, "name": entry.name, "added_at": now}
            conn.execute(insert(installation).inline(), row | values)
        else:
            changed = update(installation).where(installation.c.id == entry.id)
            conn.execute(changed.values(values))


def not_of_another(workspace: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition for events that are not known to belong to another workspace."""
    return _not_in(or_(installation.c.account.is_(None), installation.c.account != workspace))


def not_of_a_stranger() -> ColumnElement[bool]:
    """Return the condition for events that are not known to belong to a stranger's workspace."""
    return _not_in(installation.c.account.is_(None))


def _not_in(which: ColumnElement[bool]) -> ColumnElement[bool]:
    names = select(installation.c.name).where(installation.c.kind == "workspace", which)
    return or_(inbox.c.workspace_id.is_(None), inbox.c.workspace_id.not_in(names))
