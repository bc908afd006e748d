"""Counts attempts to prove an order, for all processes together, and refuses the ones too many."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, func, select

from dispatch_returns.store import queue
from dispatch_returns.store.dialect import backend
from dispatch_returns.store.schema import access_attempts


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` attempts in any period of the length `within`."""

    most: int
    within: timedelta


_HOUR = timedelta(hours=1)
CODES_OF_ORDER = Limit(5, _HOUR)
"""Codes that are asked for one order number."""
CODES_OF_ADDRESS = Limit(10, _HOUR)
"""Codes that are asked with one e-mail address or postcode."""
CODES_OF_NETWORK = Limit(60, _HOUR)
"""Codes that are asked from one address on the internet, or one IPv6 network."""
TRIES_OF_CODE = Limit(5, _HOUR)
"""Answers to one code. After a right one, none is left."""
TRIES_OF_ORDER = Limit(20, _HOUR)
"""Answers to all codes of one order number."""
_KEPT = timedelta(days=1)


def may(conn: Connection, now: datetime, counted: Sequence[tuple[str, Limit]]) -> bool:
    """Return whether an attempt is within all limits, and count it if it is.

    `counted` are the digests of what it is counted for. A refused attempt isn't counted: who keeps
    trying is let in again as soon as anyone else.
    """
    ordered = sorted(
        counted, key=lambda it: it[0]
    )  # so that two attempts never wait for each other
    for subject, _ in ordered:
        backend(conn).lock_until_the_end(conn, f"access {subject}")
    conn.execute(delete(access_attempts).where(access_attempts.c.at < now - _KEPT))
    if any(_count(conn, subject, now - limit.within) >= limit.most for subject, limit in ordered):
        return False
    for subject, _ in ordered:
        queue.append(conn, access_attempts, {"subject": subject, "at": now})
    return True


def use_up(conn: Connection, now: datetime, subject: str, limit: Limit) -> None:
    """Leave no attempt for `subject`."""
    for _ in range(limit.most):
        queue.append(conn, access_attempts, {"subject": subject, "at": now})


def _count(conn: Connection, subject: str, since: datetime) -> int:
    query = select(func.count()).where(
        access_attempts.c.subject == subject, access_attempts.c.at > since
    )
    return int(conn.execute(query).scalar_one())
