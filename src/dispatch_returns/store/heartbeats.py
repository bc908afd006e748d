"""When a worker last ran: one row, whichever process writes it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, select, update

from dispatch_returns.store import queue
from dispatch_returns.store.schema import heartbeats

_WORKERS = "workers"


def beat(conn: Connection, now: datetime) -> None:
    """Record that a worker runs `now`."""
    if not queue.insert_new(conn, heartbeats, {"name": _WORKERS, "at": now}):
        conn.execute(update(heartbeats).where(heartbeats.c.name == _WORKERS).values(at=now))


def last(conn: Connection) -> datetime | None:
    """Return when a worker last said that it runs, None where none ever did."""
    query = select(heartbeats.c.at).where(heartbeats.c.name == _WORKERS)
    return conn.execute(query).scalar_one_or_none()
