"""Switches that stop payments while the service runs, for every worker on every machine."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import Connection, update

from dispatch_returns.store import audit_log, queue
from dispatch_returns.store.audit_log import Act
from dispatch_returns.store.schema import switches


class Switch(enum.StrEnum):
    """What can be switched. A setting with the same meaning takes precedence when it is on."""

    KILL = "kill"
    """Nothing is sent to a processor; refunds wait."""
    DRY_RUN = "dry-run"
    """Refunds are held instead of paid."""
    RESTORED = "restored"
    """The database was restored from a backup: nothing is sent until it is reconciled."""


def kill_of(adapter: str) -> str:
    """Return the name of the switch that stops the payments of one adapter."""
    return f"{Switch.KILL} {adapter}"


def on(conn: Connection) -> frozenset[str]:
    """Return the names of the switches that are on: each a `Switch`, or a `kill_of` an adapter."""
    rows = conn.exec_driver_sql("SELECT name FROM switches WHERE is_on")
    return frozenset(name for (name,) in rows)


def stopping(names: frozenset[str], adapter: str | None) -> frozenset[str]:
    """Return those of the switches `names` that stop the payments of `adapter`."""
    ours = None if adapter is None else kill_of(adapter)
    return frozenset(name for name in names if name in _ALL or name == ours)


def killed(names: frozenset[str]) -> list[str]:
    """Return the adapters whose own kill switch is among the switches `names`, sorted."""
    start = kill_of("")
    return sorted(name.removeprefix(start) for name in names if name.startswith(start))


_ALL = frozenset(Switch)


def throw(
    conn: Connection, switch: str, now: datetime, *, is_on: bool, who: str, why: str | None
) -> None:
    """Turn `switch` on or off, and record who did it and why."""
    if not queue.insert_new(conn, switches, {"name": switch, "is_on": is_on}):
        conn.execute(update(switches).where(switches.c.name == switch).values(is_on=is_on))
    action = "on" if is_on else "off"
    audit_log.record(conn, action, now, who=who, why=why, subject=_subject(switch))


def last_thrown(conn: Connection, switch: str) -> Act | None:
    """Return the action that last changed `switch`, None if there was none."""
    return next(iter(audit_log.newest(conn, limit=1, subject=_subject(switch))), None)


def _subject(switch: str) -> str:
    """Return the name of a switch in the audit log."""
    return f"switch {switch}"
