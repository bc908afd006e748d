"""This installation's signing keys, each made once and kept only here."""

from __future__ import annotations

import secrets
from datetime import datetime

from sqlalchemy import Connection, select

from dispatch_returns.store import queue
from dispatch_returns.store.schema import keys


def get(conn: Connection, name: str) -> bytes | None:
    """Return the key called `name`, or None if it was not made yet."""
    found = conn.execute(select(keys.c.secret).where(keys.c.name == name)).scalar_one_or_none()
    return None if found is None else bytes(found)


def make(conn: Connection, name: str, now: datetime) -> bytes:
    """Return the key called `name`; make it now if there is none."""
    fresh = {"name": name, "secret": secrets.token_bytes(32), "made_at": now}
    queue.insert_new(conn, keys, fresh)
    found = get(conn, name)
    assert found is not None
    return found
