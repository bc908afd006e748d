"""The outbox: messages to the ticket, the customer and handlers.

Each is written in the same transaction as what it reports, and delivered afterwards.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, case, func, select

from dispatch_returns.store import queue
from dispatch_returns.store.schema import UNDELIVERED, outbox


class MessageState(enum.StrEnum):
    """The state of a message."""

    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
    """The receiver refused it for good (the ticket was deleted, for example)."""
    UNDELIVERED = "undelivered"
    """The API has not found its ticket for a day: a person must look."""


@dataclass(frozen=True, slots=True)
class NewMessage:
    """A message to deliver. A second message with the same ``dedupe_key`` is not kept."""

    dedupe_key: str
    kind: str
    workspace_id: str
    ticket_id: str | None
    refund_id: str | None = None
    payload: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """A row of the outbox. ``claims`` is the fencing token of its claim."""

    id: int
    dedupe_key: str
    kind: str
    workspace_id: str
    ticket_id: str | None
    refund_id: str | None
    payload: dict[str, Any] = field(repr=False)
    state: MessageState
    error: str | None
    created_at: datetime
    finished_at: datetime | None
    overdue_since: datetime | None
    tries: int
    claims: int
    due_at: datetime | None
    failing_since: datetime | None = None


def _message(row: RowMapping) -> Message:
    values: dict[str, Any] = {str(column): value for column, value in row.items()}
    values["state"] = MessageState(values["state"])
    return Message(**values)


def add(conn: Connection, message: NewMessage, now: datetime) -> bool:
    """Add `message`; return False if there is one with its key already."""
    return queue.insert_new(conn, outbox, _values(message, now))


def add_all(conn: Connection, messages: Iterable[NewMessage], now: datetime) -> None:
    """Add those of `messages` whose keys are new, in one statement."""
    queue.insert_all_new(conn, outbox, [_values(message, now) for message in messages])


def _values(message: NewMessage, now: datetime) -> dict[str, Any]:
    return {
        "dedupe_key": message.dedupe_key,
        "kind": message.kind,
        "workspace_id": message.workspace_id,
        "ticket_id": message.ticket_id,
        "refund_id": message.refund_id,
        "payload": message.payload,
        "state": MessageState.WAITING,
        "created_at": now,
        "due_at": now,
    }


HANDLERS = outbox.c.kind == "handler"
"""The messages to the merchant's handlers."""
OTHERS = outbox.c.kind != "handler"


def claim(
    conn: Connection,
    now: datetime,
    lease: timedelta,
    limit: int,
    workspace: str | None = None,
    *,
    handlers: bool | None = None,
) -> list[Message]:
    """Claim up to `limit` messages that are due; see `queue.claim`.

    If `handlers` is given: only those for the merchant's handlers (True), or only others (False).
    """
    only = None if handlers is None else HANDLERS if handlers else OTHERS
    rows = queue.claim(
        conn, outbox, now=now, lease=lease, limit=limit, only=only, workspace=workspace
    )
    return [_message(row) for row in rows]


def keep(
    conn: Connection, message: Message, until: datetime, overdue_since: datetime | None
) -> None:
    """Extend the lease of a claimed message to `until`. Raises `LeaseLostError`.

    `overdue_since` is when its handler exceeded its time limit, None if it has not.
    """
    queue.change(
        conn, outbox, message.id, message.claims, due_at=until, overdue_since=overdue_since
    )


@dataclass(frozen=True, slots=True)
class HandlersWaiting:
    """The handler calls that are not done.

    ``oldest`` is when the oldest was due that has not failed yet; ``overdue`` is how many have
    exceeded their time limit.
    """

    waiting: int
    oldest: datetime | None
    overdue: int


def handlers_waiting(conn: Connection) -> HandlersWaiting:
    """Count the handler calls that are not done."""
    untried = case((outbox.c.tries == 0, outbox.c.created_at))
    query = select(func.count(), func.min(untried), func.count(outbox.c.overdue_since)).where(
        outbox.c.due_at.is_not(None), HANDLERS
    )
    waiting, oldest, overdue = conn.execute(query).one()
    return HandlersWaiting(int(waiting), oldest, int(overdue))


def finish(
    conn: Connection,
    message: Message,
    now: datetime,
    state: MessageState = MessageState.DONE,
    error: str | None = None,
) -> None:
    """Mark a claimed message as delivered, or as refused for good. Raises `LeaseLostError`."""
    queue.change(
        conn,
        outbox,
        message.id,
        message.claims,
        state=state,
        due_at=None,
        error=error,
        finished_at=now,
        overdue_since=None,
    )


def postpone(
    conn: Connection, message: Message, until: datetime, error: str, *, since: datetime
) -> None:
    """Postpone a claimed message; `since`: see `queue.failing_since`.

    Raises `LeaseLostError`.
    """
    queue.change(
        conn,
        outbox,
        message.id,
        message.claims,
        due_at=until,
        tries=message.tries + 1,
        error=error,
        failing_since=since,
        overdue_since=None,
    )


def count_undelivered(conn: Connection) -> int:
    """Return how many messages could not be delivered to their ticket."""
    query = select(func.count()).select_from(outbox).where(UNDELIVERED)
    return int(conn.execute(query).scalar_one())


def is_empty(conn: Connection) -> bool:
    """Return whether no message is still to be delivered."""
    query = select(outbox.c.id).where(outbox.c.due_at.is_not(None)).limit(1)
    return conn.execute(query).first() is None


def of_refund(conn: Connection, refund_id: str) -> list[Message]:
    """Return the messages about a refund, oldest first."""
    query = select(outbox).where(outbox.c.refund_id == refund_id).order_by(outbox.c.id)
    return [_message(row) for row in conn.execute(query).mappings()]


def of_ticket(conn: Connection, ticket_id: str) -> list[Message]:
    """Return the messages about a ticket, oldest first."""
    query = select(outbox).where(outbox.c.ticket_id == ticket_id).order_by(outbox.c.id)
    return [_message(row) for row in conn.execute(query).mappings()]
