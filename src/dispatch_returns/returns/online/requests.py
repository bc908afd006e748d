"""Returns that were asked for online: stored first, then made into a ticket by a worker, once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, RowMapping, select, update

from dispatch_returns.store import outbox, queue
from dispatch_returns.store.schema import online_requests

KIND = "return_request"
"""The outbox's messages that open the ticket of a request."""
MARK = "dispatch_returns"
"""The metadata key by which the ticket of a request is recognised."""


@dataclass(frozen=True, slots=True)
class OnlineRequest:
    """A row of `online_requests`. ``ticket_id`` is None until the ticket is open.

    ``email`` is only stored if the order has no address of its own.
    """

    id: str
    workspace_id: str
    order_id: str
    order_key: str
    items: Sequence[Mapping[str, Any]]
    reason: str
    detail: str | None
    language: str
    email: str | None = field(repr=False)
    note: str | None = field(repr=False)
    ticket_id: str | None
    created_at: datetime


def add(conn: Connection, request: OnlineRequest) -> bool:
    """Store a request and the message that opens its ticket; False if it is stored already."""
    values = {name: getattr(request, name) for name in OnlineRequest.__dataclass_fields__}
    new = queue.insert_new(conn, online_requests, values)
    if new:
        message = outbox.NewMessage(
            dedupe_key=f"{KIND}-{request.id}",
            kind=KIND,
            workspace_id=request.workspace_id,
            ticket_id=None,
            payload={"request": request.id},
        )
        outbox.add(conn, message, request.created_at)
    return new


def get(conn: Connection, request_id: str) -> OnlineRequest | None:
    """Return a request by its id."""
    query = select(online_requests).where(online_requests.c.id == request_id)
    row = conn.execute(query).mappings().one_or_none()
    return None if row is None else _request(row)


def asked_at(conn: Connection, metadata: Mapping[str, Any]) -> datetime | None:
    """Return when the customer asked for the return of a ticket, by the ticket's `metadata`.

    The ticket may be opened later, if Dispatch is away: that must not cost the customer the window.
    """
    mark = metadata.get(MARK)
    found = get(conn, mark) if isinstance(mark, str) else None
    return None if found is None else found.created_at


def of_order(conn: Connection, workspace_id: str, order_key: str) -> list[OnlineRequest]:
    """Return the requests for an order, newest first."""
    query = (
        select(online_requests)
        .where(
            online_requests.c.workspace_id == workspace_id,
            online_requests.c.order_key == order_key,
        )
        .order_by(online_requests.c.created_at.desc(), online_requests.c.id)
    )
    return [_request(row) for row in conn.execute(query).mappings()]


def opened(conn: Connection, request_id: str, ticket_id: str) -> None:
    """Record the ticket of a request."""
    conn.execute(
        update(online_requests)
        .where(online_requests.c.id == request_id)
        .values(ticket_id=ticket_id, email=None)
    )


def _request(row: RowMapping) -> OnlineRequest:
    return OnlineRequest(**{str(name): value for name, value in row.items()})
