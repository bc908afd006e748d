"""The inbox: accepted events, each once. They are kept after they have been processed."""

from __future__ import annotations

import enum
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, delete, func, not_, or_, select

from dispatch_returns.store import installation, queue
from dispatch_returns.store.rows import NewRows
from dispatch_returns.store.schema import SET_ASIDE, inbox, outbox


class EventState(enum.StrEnum):
    """The state of an event."""

    ACCEPTED = "accepted"
    DONE = "done"
    UNREADABLE = "unreadable"
    """Authentic, but this version can't read it: kept, so that a later version can replay it."""
    NOT_SHOWN = "not_shown"
    """The API has not shown its change for a day: a person must look, and may replay it."""
    DISCARDED = "discarded"
    """A person has discarded it."""


_OVER = (EventState.DONE, EventState.DISCARDED)


@dataclass(frozen=True, slots=True)
class NewEvent:
    """A verified delivery on its way into the inbox.

    ``body`` is what was signed, byte for byte. ``readable`` is False if it is authentic but this
    version can't read it; ``error`` then says why. ``due_at`` is when to process it: by default,
    now. ``hint_of`` is the payment's id of an unsigned delivery; it is not stored.
    """

    source: str
    event_id: str
    type: str
    workspace_id: str | None
    ticket_id: str | None
    body: bytes = field(repr=False)
    occurred_at: datetime | None
    readable: bool = True
    error: str | None = None
    due_at: datetime | None = None
    hint_of: str | None = None


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of the inbox. ``claims`` is the fencing token of its claim."""

    id: int
    source: str
    event_id: str
    type: str
    workspace_id: str | None
    ticket_id: str | None
    body: bytes = field(repr=False)
    occurred_at: datetime | None
    received_at: datetime
    state: EventState
    error: str | None
    finished_at: datetime | None
    tries: int
    claims: int
    due_at: datetime | None
    failing_since: datetime | None = None


def _stored(row: RowMapping) -> StoredEvent:
    values: dict[str, Any] = {str(column): value for column, value in row.items()}
    values["state"] = EventState(values["state"])
    return StoredEvent(**values)


def add(conn: Connection, event: NewEvent, now: datetime) -> bool:
    """Add `event`; return False if there is one with its source and id already."""
    return queue.insert_new(conn, inbox, _values(event, now))


def adding(events: Sequence[NewEvent], now: datetime) -> NewRows:
    """Return the write that does what `add` does with each of `events`."""
    return NewRows(inbox, ("event_id", "source"), [_values(event, now) for event in events])


def _values(event: NewEvent, now: datetime) -> dict[str, Any]:
    return {
        "source": event.source,
        "event_id": event.event_id,
        "type": event.type,
        "workspace_id": event.workspace_id,
        "ticket_id": event.ticket_id,
        "body": event.body,
        "occurred_at": event.occurred_at,
        "received_at": now,
        "state": EventState.ACCEPTED if event.readable else EventState.UNREADABLE,
        "due_at": (event.due_at or now) if event.readable else None,
        "error": event.error,
    }


def claim(
    conn: Connection,
    now: datetime,
    lease: timedelta,
    limit: int,
    workspace: str | None = None,
    *,
    which: queue.Share | None = None,
) -> list[StoredEvent]:
    """Claim up to `limit` events that are due; see `queue.claim`."""
    found = queue.claim(
        conn,
        inbox,
        now=now,
        lease=lease,
        limit=limit,
        workspace=workspace,
        only=None if which is None else _of_senders(which),
    )
    return [_stored(r) for r in found]


@functools.cache
def _of_senders(which: queue.Share) -> ColumnElement[bool]:
    return which.of(inbox.c.source)


def finish(
    conn: Connection,
    event: StoredEvent,
    now: datetime,
    state: EventState = EventState.DONE,
    error: str | None = None,
) -> None:
    """Mark a claimed event as processed, or as set aside because of `error`.

    Raises `LeaseLostError`.
    """
    queue.change(
        conn,
        inbox,
        event.id,
        event.claims,
        state=state,
        due_at=None,
        error=error,
        finished_at=now,
    )


def postpone(
    conn: Connection, event: StoredEvent, until: datetime, error: str, *, since: datetime
) -> None:
    """Postpone a claimed event; `since`: see `queue.failing_since`.

    Raises `LeaseLostError`.
    """
    queue.change(
        conn,
        inbox,
        event.id,
        event.claims,
        due_at=until,
        tries=event.tries + 1,
        error=error,
        failing_since=since,
    )


def leave(conn: Connection, event: StoredEvent, now: datetime) -> None:
    """Put back a claimed event of another workspace, unchanged. Raises `LeaseLostError`."""
    queue.change(conn, inbox, event.id, event.claims, due_at=now)


def set_unreadable(conn: Connection, event: StoredEvent, error: str) -> None:
    """Keep a claimed event that can't be read. Raises `LeaseLostError`."""
    queue.change(
        conn, inbox, event.id, event.claims, state=EventState.UNREADABLE, due_at=None, error=error
    )


def get(conn: Connection, row_id: int) -> StoredEvent | None:
    """Return the event with this row number."""
    row = conn.execute(select(inbox).where(inbox.c.id == row_id)).mappings().one_or_none()
    return _stored(row) if row else None


def find(conn: Connection, source: str, event_id: str) -> StoredEvent | None:
    """Return the event with this sender and its id."""
    query = select(inbox).where(inbox.c.source == source, inbox.c.event_id == event_id)
    row = conn.execute(query).mappings().one_or_none()
    return _stored(row) if row else None


def with_event_id(conn: Connection, event_id: str) -> list[StoredEvent]:
    """Return the events with this id; several senders may have used it."""
    query = select(inbox).where(inbox.c.event_id == event_id).order_by(inbox.c.id)
    return [_stored(row) for row in conn.execute(query).mappings()]


def oldest_waiting(conn: Connection) -> datetime | None:
    """Return when the oldest event was received that is still to be processed.

    Events of workspaces that are not ours do not count: see `strangers`.
    """
    query = select(func.min(inbox.c.received_at)).where(
        inbox.c.due_at.is_not(None), installation.not_of_a_stranger()
    )
    oldest: datetime | None = conn.execute(query).scalar_one()
    return oldest


def count_unclaimed(conn: Connection, before: datetime) -> int:
    """Return how many events have been due since `before` or longer, and were never claimed."""
    query = select(func.count()).where(
        inbox.c.due_at <= before, inbox.c.claims == 0, installation.not_of_a_stranger()
    )
    return int(conn.execute(query).scalar_one())


def failing(conn: Connection, before: datetime, *kinds: str) -> int:
    """Return how many waiting events have failed since `before` or longer, with one of `kinds`.

    A kind is how the error starts.
    """
    query = (
        select(func.count())
        .select_from(inbox)
        .where(
            inbox.c.due_at.is_not(None),
            inbox.c.failing_since <= before,
            or_(*(inbox.c.error.startswith(kind, autoescape=True) for kind in kinds)),
            installation.not_of_a_stranger(),
        )
    )
    return conn.execute(query).scalar_one()


def strangers(conn: Connection) -> int:
    """Return how many events are ignored because their workspace is not ours."""
    query = select(func.count()).where(
        inbox.c.due_at.is_not(None), not_(installation.not_of_a_stranger())
    )
    return int(conn.execute(query).scalar_one())


def newest(
    conn: Connection,
    *,
    limit: int,
    state: EventState | None = None,
    ticket_id: str | None = None,
) -> list[StoredEvent]:
    """Return up to `limit` events, newest first."""
    query = select(inbox).order_by(inbox.c.id.desc()).limit(limit)
    if state is not None:
        query = query.where(inbox.c.state == state)
    if state is EventState.ACCEPTED:
        # The condition follows from the state, and has an index. By the time, because SQLite would
        # walk the whole primary key to save a sort.
        query = query.where(inbox.c.due_at.is_not(None)).order_by(None)
        query = query.order_by(inbox.c.received_at.desc(), inbox.c.id.desc())
    elif state not in {None, EventState.DONE}:
        query = query.where(SET_ASIDE)
    if ticket_id is not None:
        query = query.where(inbox.c.ticket_id == ticket_id)
    return [_stored(row) for row in conn.execute(query).mappings()]


def count_set_aside(conn: Connection) -> dict[str, int]:
    """Return how many events were set aside, by state: a person should look at each."""
    query = select(inbox.c.state, func.count()).where(SET_ASIDE).group_by(inbox.c.state)
    return {row[0]: int(row[1]) for row in conn.execute(query)}


def discard(conn: Connection, event: StoredEvent, now: datetime) -> None:
    """Discard an event, whatever its state. Raises `LeaseLostError`."""
    queue.change(
        conn,
        inbox,
        event.id,
        event.claims,
        state=EventState.DISCARDED,
        claims=event.claims + 1,
        due_at=None,
        finished_at=now,
    )


@dataclass(frozen=True, slots=True)
class Thinned:
    """What `thin` did. ``then`` is where to continue, None where the young events start."""

    deleted: int
    then: int | None


def thin(conn: Connection, *, before: datetime, after: int, limit: int) -> Thinned:
    """Delete old events among the `limit` that follow number `after`: those done before `before`.

    An event stays if it is still to be processed, can't be read or is needed by a handler. Events
    that another transaction has locked are skipped.
    """
    following = (
        select(inbox.c.id, inbox.c.received_at, inbox.c.state, inbox.c.finished_at)
        .where(inbox.c.id > after)
        .order_by(inbox.c.id)
        .limit(limit)
        .with_for_update(skip_locked=True)  # SQLite has one writer and ignores it
    )
    rows = conn.execute(following).all()
    old = [row for row in rows if row.received_at < before]
    gone = {row.id for row in old if row.state in _OVER and row.finished_at < before}
    # SQLite would reuse the number of the newest row once it is deleted, and the outbox refers
    # to events by number.
    gone -= {conn.execute(select(func.max(inbox.c.id))).scalar_one(), *_needed_by_handlers(conn)}
    if gone:
        conn.execute(delete(inbox).where(inbox.c.id.in_(sorted(gone))))
    more = len(old) == limit
    return Thinned(len(gone), old[-1].id if more else None)


def count_thinnable(conn: Connection, before: datetime) -> int:
    """Return how many events `thin` would delete in all. Changes nothing."""
    done = select(func.count()).where(
        inbox.c.state.in_(_OVER),
        inbox.c.received_at < before,
        inbox.c.finished_at < before,
        inbox.c.id < select(func.max(inbox.c.id)).scalar_subquery(),
        inbox.c.id.not_in(_needed_by_handlers(conn)),
    )
    return int(conn.execute(done).scalar_one())


def _needed_by_handlers(conn: Connection) -> set[int]:
    """Return the events whose handlers are still to be called."""
    waiting = select(outbox.c.payload).where(
        outbox.c.due_at.is_not(None), outbox.c.kind == "handler"
    )
    found = (payload.get("event") for (payload,) in conn.execute(waiting))
    return {number for number in found if isinstance(number, int)}


def replay(conn: Connection, event: StoredEvent, now: datetime) -> None:
    """Make an event due again, whatever its state. Raises `LeaseLostError`."""
    queue.change(
        conn,
        inbox,
        event.id,
        event.claims,
        state=EventState.ACCEPTED,
        claims=event.claims + 1,
        tries=0,
        due_at=now,
        failing_since=None,
        finished_at=None,
    )
