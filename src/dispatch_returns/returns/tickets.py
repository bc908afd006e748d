"""Reads tickets so that an answer older than an accepted event is no answer.

The API may be behind its own events: a read replica, a cache, a gateway during a deployment. What
the events of a ticket say about its age is compared with each answer, whoever asks: the inbox has
them all, also those that another process has accepted.
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
"""How long the API may not show a ticket as its events say it is, before a person is told."""
TEST_EVENT = "evt_test_"
"""How the ids of the events begin that `dispatch-returns trigger` makes up."""
_MEMORY = 5
_ROUNDED = timedelta(seconds=1)
"""How much earlier a ticket's time may be than its event's, where one of them is cut short."""


@dataclass(frozen=True, slots=True)
class _Said:
    """What the newest event of a ticket says. ``exact``: the time is the ticket's own."""

    at: datetime
    exact: bool
    status: str | None
    deleted: bool


class Tickets:
    """Reads tickets through the API. Safe to use in many threads."""

    def __init__(self, store: Store, client: DispatchClient) -> None:
        self._store = store
        self._client = client

    def get(self, ticket_id: str) -> Ticket:
        """Return the ticket as it is now.

        Raises `TicketDeletedError`, `NotShownError`, `InvalidArgumentError` for an id that cannot
        be the API's, and `APIError`.
        """
        said = self._said(ticket_id)
        try:
            ticket = self._client.tickets.get(ticket_id)
        except NotFoundError as error:
            raise self._missing(ticket_id, said, error) from None
        if ticket.deleted_at is not None or (said is not None and _was_deleted(ticket, said)):
            raise TicketDeletedError(f"ticket {ticket_id} was deleted")
        if said is not None and _is_old(ticket, said):
            raise NotShownError(
                f"ticket {ticket_id}: the API's answer is older than an event of it",
                missing=False,
            )
        return ticket

    def missing(self, ticket_id: str, error: NotFoundError) -> APIError:
        """Return what a 404 for something of a ticket means: see `get`."""
        return self._missing(ticket_id, self._said(ticket_id), error)

    def _missing(self, ticket_id: str, said: _Said | None, error: NotFoundError) -> APIError:
        if said is not None and said.deleted:
            return TicketDeletedError(f"ticket {ticket_id} was deleted")
        return NotShownError(f"the API does not know ticket {ticket_id}: {error}", missing=True)

    def _said(self, ticket_id: str) -> _Said | None:
        """Return what the newest of the ticket's last events says."""
        with self._store.read() as conn:
            events = inbox.newest(conn, limit=_MEMORY, ticket_id=ticket_id)
        said = [it for event in events if (it := _read(event)) is not None]
        return max(said, key=lambda it: it.at, default=None)


def _read(stored: StoredEvent) -> _Said | None:
    if stored.source != DISPATCH or stored.event_id.startswith(TEST_EVENT):
        return None
    try:
        event = parse(stored.body)
        if event.type == "ticket.deleted":
            return _Said(event.timestamp, exact=False, status=None, deleted=True)
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
    return _Said(at, exact=changed is not None, status=status, deleted=False)


def _was_deleted(ticket: Ticket, said: _Said) -> bool:
    """Whether the event of the deletion is newer than the answer: a ticket may be restored."""
    return said.deleted and (ticket.updated_at is None or ticket.updated_at <= said.at)


def _is_old(ticket: Ticket, said: _Said) -> bool:
    seen = ticket.updated_at
    if seen is None:
        return False
    differs = said.status is not None and said.status != ticket.status
    if said.exact:
        return seen < (said.at if differs else said.at - _ROUNDED)
    return differs and seen < said.at - _ROUNDED
