"""Recurring jobs: each has a row, and the worker that claims it does it this time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, update

from dispatch_returns.store import queue
from dispatch_returns.store.schema import jobs


@dataclass(frozen=True, slots=True)
class Job:
    """A claimed job. ``claims`` is the fencing token."""

    id: str
    claims: int


def claim(
    conn: Connection, job_id: str, now: datetime, *, first: datetime, lease: timedelta
) -> Job | None:
    """Claim the job if it is due; a new job is due at `first`."""
    queue.insert_new(conn, jobs, {"id": job_id, "due_at": first})
    taken = (
        update(jobs)
        .where(jobs.c.id == job_id, jobs.c.due_at <= now)
        .values(claims=jobs.c.claims + 1, due_at=now + lease)
        .returning(jobs.c.id, jobs.c.claims)
    )
    row = conn.execute(taken).one_or_none()
    return None if row is None else Job(*row)


def finish(conn: Connection, job: Job, again: datetime) -> None:
    """Make a claimed job due at `again`. Raises `LeaseLostError`."""
    queue.change(conn, jobs, job.id, job.claims, due_at=again)
