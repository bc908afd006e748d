"""The customer's own tickets: ``/portal/tickets``. The token knows whose they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dispatch_returns.client import answers, arguments, operation
from dispatch_returns.client.models import PortalComment, PortalTicket
from dispatch_returns.client.operation import Operation, Page, Scope

_PATH = "/portal/tickets"
_TICKET = answers.one(PortalTicket)


def create(
    scope: Scope,
    *,
    subject: str,
    body: str | None = None,
    attachment_ids: Sequence[str] | None = None,
    idempotency_key: str | None = None,
) -> Operation[PortalTicket]:
    """Open a ticket and return it. `attachment_ids` are of files uploaded before it."""
    ids = attachment_ids
    fields = {
        "subject": arguments.text("subject", subject),
        "body": body,
        "attachment_ids": None if ids is None else arguments.strings("attachment_ids", ids),
    }
    return operation.post(scope, _PATH, _TICKET, fields, idempotency_key)


def get(scope: Scope, ticket_id: str) -> Operation[PortalTicket]:
    """Return the ticket with its comments; internal notes are not among them."""
    del scope
    return operation.get(_path(ticket_id), _TICKET)


def list_page(
    scope: Scope,
    *,
    status: str | None = None,
    sort: Literal["created_at", "updated_at"] | None = None,
    order: Literal["asc", "desc"] | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> Operation[Page[PortalTicket]]:
    """Return the customer's tickets: `list` all, page after page, `list_page` one page.

    `limit` is the size of a page, from 1 to 50; `cursor` is where to begin, from an earlier page.
    """
    sorted_by = None if sort is None else scope.name(sort)
    filters = operation.query(scope, {"status": status, "sort": sorted_by, "order": order})
    return answers.pages(_PATH, PortalTicket, filters, limit=limit, cursor=cursor, most=50)


def comment(
    scope: Scope, ticket_id: str, *, body: str, idempotency_key: str | None = None
) -> Operation[PortalComment]:
    """Write a comment and return it."""
    fields = {"body": arguments.text("body", body)}
    path = f"{_path(ticket_id)}/comments"
    return operation.post(scope, path, answers.one(PortalComment), fields, idempotency_key)


def _path(ticket_id: str) -> str:
    return f"{_PATH}/{arguments.segment('ticket_id', ticket_id)}"
