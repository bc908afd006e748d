"""Switches that stop money while the service runs, for every worker on every machine."""

from __future__ import annotations

import enum
from datetime import datetime

from sqlalchemy import Connection, update

from dispatch_returns.store import audit_log, queue
from dispatch_returns.store.audit_log import Act
from dispatch_returns.store.schema import switches


class Switch(enum.StrEnum):
    """What can be switched. A setting of the same meaning is on whatever the switch says."""

    KILL = "kill"
    """Nothing is sent to a processor; what is to be paid waits."""
    DRY_RUN = "dry-run"
    """What would be paid is held instead."""
    RESTORED = "restored"
    """The database was restored from a backup: nothing is sent until it was reconciled."""

    @property
    def subject(self) -> str:
        """What the journal calls it."""
        return f"switch {self}"


def on(conn: Connection) -> frozenset[str]:
    """Return the names of the switches that are on.

    Read in the transaction that announces a payment, so it is said to the driver itself.
    """
    rows = conn.exec_driver_sql("SELECT name FROM switches WHERE is_on")
    return frozenset(name for (name,) in rows)


def throw(
    conn: Connection, switch: Switch, now: datetime, *, is_on: bool, who: str, why: str | None
) -> None:
    """Turn `switch` on or off, and record by whom and why."""
    if not queue.insert_new(conn, switches, {"name": switch, "is_on": is_on}):
        conn.execute(update(switches).where(switches.c.name == switch).values(is_on=is_on))
    act = "on" if is_on else "off"
    audit_log.record(conn, act, now, who=who, why=why, subject=switch.subject)


def last_thrown(conn: Connection, switch: Switch) -> Act | None:
    """Return the act that put `switch` where it is, or None if nobody ever touched it."""
    return next(iter(audit_log.newest(conn, limit=1, subject=switch.subject)), None)
