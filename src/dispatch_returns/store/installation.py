"""Whose database this is: the workspaces and the processor accounts it belongs to.

A workspace has a row for each name that a setting, an event or a ticket calls it by; ``account`` is
what the API calls it, and what our own ids hang on. A name without an account is one that events
came under, and whose workspace is none of ours: they are left alone. An adapter has a row for each
account of its processor; ``account`` and ``mode`` are empty where they are not known.
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
    """A row: what the database belongs to. ``id`` is None for one that is not written yet."""

    kind: Kind
    name: str
    account: str | None = None
    mode: str | None = None
    id: int | None = None


def lock(conn: Connection) -> None:
    """Be alone with the rows until the transaction ends: two first starts may come at once."""
    backend(conn).lock_until_the_end(conn, "installation")


def entries(conn: Connection) -> list[Entry]:
    """Return what the database belongs to, oldest first."""
    found = conn.execute(select(installation).order_by(installation.c.id)).mappings()
    return [
        Entry(row["kind"], row["name"], row["account"], row["mode"], row["id"]) for row in found
    ]


def write(conn: Connection, new: Sequence[Entry], now: datetime) -> None:
    """Write entries: one that has an id is changed."""
    for entry in new:
        values: dict[str, Any] = {"account": entry.account, "mode": entry.mode}
        if entry.id is None:
            row = {"kind": entry.kind, "name": entry.name, "added_at": now}
            conn.execute(insert(installation).inline(), row | values)
        else:
            changed = update(installation).where(installation.c.id == entry.id)
            conn.execute(changed.values(values))


def not_of_another(workspace: ColumnElement[str]) -> ColumnElement[bool]:
    """Return the condition for an event that is not known to be another workspace's."""
    return _not_in(or_(installation.c.account.is_(None), installation.c.account != workspace))


def not_of_a_stranger() -> ColumnElement[bool]:
    """Return the condition for an event that is not known to be of no workspace of ours."""
    return _not_in(installation.c.account.is_(None))


def _not_in(which: ColumnElement[bool]) -> ColumnElement[bool]:
    names = select(installation.c.name).where(installation.c.kind == "workspace", which)
    return or_(inbox.c.workspace_id.is_(None), inbox.c.workspace_id.not_in(names))
