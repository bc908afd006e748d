"""Reads tickets, and refuses an answer that is older than an accepted event.

The API may be behind its own events: a read replica, a cache, a gateway during a deployment. So
each answer is compared with the ticket's newest event in the inbox, which has the events that other
processes accepted too.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from dispatch_returns.client import DispatchClient, Ticket
from dispatch_returns.errors import (
    APIError,
    EventError,
    NotFoundError,
    NotShownError,
    TicketDeletedError,
)
from dispatch_returns.store import Store, inbox
from dispatch_returns.store.inbox import StoredEvent
from dispatch_returns.webhooks.events import TicketCreated, TicketUpdated, parse
from dispatch_returns.webhooks.receiver import DISPATCH

PATIENCE = timedelta(hours=24)
"""How long the API may fail to show a ticket as its events do, before a person is notified."""
TEST_EVENT = "evt_test_"
"""The prefix of the ids of events made up by `dispatch-returns trigger`."""
_MEMORY = 5
_ROUNDED = timedelta(seconds=1)
"""How much earlier a ticket's time can be than its event's, if one of them is truncated."""


@dataclass(frozen=True, slots=True)
class _Newest:
    """What the newest event says about a ticket. ``exact``: the time is the ticket's own."""

    at: datetime
    exact: bool
    status: str | None
    deleted: bool


class TicketReader:
    """Reads tickets through the API. Safe to use in many threads."""

    def __init__(self, store: Store, client: DispatchClient) -> None:
        self._store = store
        self._client = client

    def get(self, ticket_id: str) -> Ticket:
        """Return the ticket as it is now.

        Raises `TicketDeletedError`, `NotShownError`, `InvalidArgumentError` for an id that can't be
        one of the API, and `APIError`.
        """
        newest = self._newest(ticket_id)
        try:
            ticket = self._client.tickets.get(ticket_id)
        except NotFoundError as error:
            raise self._missing(ticket_id, newest, error) from None
        updated_at = ticket.updated_at
        # An event of the deletion that is older than the answer: the ticket was restored since.
        deleted = newest is not None and newest.deleted
        if newest is not None and updated_at is not None and updated_at > newest.at:
            deleted = False
        if deleted or ticket.deleted_at is not None:
            raise TicketDeletedError(f"ticket {ticket_id} was deleted")
        if newest is not None and _is_old(ticket, newest):
            raise NotShownError(
                f"ticket {ticket_id}: the API's answer is older than an event of it",
                missing=False,
            )
        return ticket

    def missing(self, ticket_id: str, error: NotFoundError) -> APIError:
        """Return the error for a 404 about something of a ticket: see `get`."""
        return self._missing(ticket_id, self._newest(ticket_id), error)

    def _missing(self, ticket_id: str, newest: _Newest | None, error: NotFoundError) -> APIError:
        if newest is not None and newest.deleted:
            return TicketDeletedError(f"ticket {ticket_id} was deleted")
        return NotShownError(f"the API does not know ticket {ticket_id}: {error}", missing=True)

    def _newest(self, ticket_id: str) -> _Newest | None:
        """Return what the newest of the ticket's last events says."""
        with self._store.read() as conn:
            events = inbox.newest(conn, limit=_MEMORY, ticket_id=ticket_id)
        known = [it for event in events if (it := _read(event)) is not None]
        return max(known, key=lambda it: it.at, default=None)


def _read(stored: StoredEvent) -> _Newest | None:
    if stored.source != DISPATCH or stored.event_id.startswith(TEST_EVENT):
        return None
    try:
        event = parse(stored.body)
        if event.type == "ticket.deleted":
            return _Newest(event.timestamp, exact=False, status=None, deleted=True)
        if isinstance(event, TicketUpdated):
            changed = event.data.updated_at
        elif isinstance(event, TicketCreated):
            changed = event.data.created_at
        else:
            return None
        status = event.data.status
    except EventError:
        return None
    at = event.timestamp if changed is None else changed
    return _Newest(at, exact=changed is not None, status=status, deleted=False)


def _is_old(ticket: Ticket, newest: _Newest) -> bool:
    updated_at = ticket.updated_at
    if updated_at is None:
        return False
    differs = newest.status is not None and newest.status != ticket.status
    if newest.exact:
        return updated_at < (newest.at if differs else newest.at - _ROUNDED)
    return differs and updated_at < newest.at - _ROUNDED
