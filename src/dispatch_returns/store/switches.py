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

    @property
    def subject(self) -> str:
        """Its name in the audit log."""
        return f"switch {self}"


def on(conn: Connection) -> frozenset[str]:
    """Return the names of the switches that are on."""
    rows = conn.exec_driver_sql("SELECT name FROM switches WHERE is_on")
    return frozenset(name for (name,) in rows)


def throw(
    conn: Connection, switch: Switch, now: datetime, *, is_on: bool, who: str, why: str | None
) -> None:
    """Turn `switch` on or off, and record who did it and why."""
    if not queue.insert_new(conn, switches, {"name": switch, "is_on": is_on}):
        conn.execute(update(switches).where(switches.c.name == switch).values(is_on=is_on))
    action = "on" if is_on else "off"
    audit_log.record(conn, action, now, who=who, why=why, subject=switch.subject)


def last_thrown(conn: Connection, switch: Switch) -> Act | None:
    """Return the action that last changed `switch`, None if there was none."""
    return next(iter(audit_log.newest(conn, limit=1, subject=switch.subject)), None)
