"""Tickets: ``/workspaces/{id}/tickets``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Literal, TypeAlias

from dispatch_returns.client import answers, arguments, operation
from dispatch_returns.client.arguments import UNSET, Unset
from dispatch_returns.client.exact_json import JsonValue
from dispatch_returns.client.models import BulkResult, Ticket
from dispatch_returns.client.operation import Operation, Page, Scope
from dispatch_returns.errors import InvalidArgumentError

Priority: TypeAlias = Literal["low", "normal", "medium", "high", "urgent"]
BulkAction: TypeAlias = Literal[
    "spam", "resolve", "close", "delete", "assign", "setCategory", "setTags"
]
_TICKET = answers.one(Ticket)


def create(
    scope: Scope,
    *,
    subject: str,
    body: str | None = None,
    status: str | None = None,
    priority: Priority | None = None,
    customer_email: str | None = None,
    customer_name: str | None = None,
    assignee_id: str | None = None,
    category_id: str | None = None,
    tags: Sequence[str] | None = None,
    links: Sequence[Mapping[str, JsonValue]] | None = None,
    custom_fields: Mapping[str, JsonValue] | None = None,
    metadata: Mapping[str, JsonValue] | None = None,
    source: str | None = None,
    notify_customer: bool | None = None,
    idempotency_key: str | None = None,
) -> Operation[Ticket]:
    """Open a ticket and return it.

    Amounts in `custom_fields` are `Decimal`, in major units, and are sent with exactly the
    digits they have. With the same `idempotency_key` a repeated call opens no second ticket;
    without one, each call makes its own and keeps it through its retries.

    Raises `InvalidArgumentError` at once for a float in a field; `APIError` otherwise.
    """
    fields = {
        "subject": arguments.text("subject", subject),
        "body": body,
        "customer_email": customer_email,
        "customer_name": customer_name,
        "status": status,
        "priority": priority,
        "assignee_id": assignee_id,
        "category_id": category_id,
        "tags": None if tags is None else arguments.strings("tags", tags),
        "links": links,
        "custom_fields": custom_fields,
        "metadata": metadata,
        "source": source,
        "notify_customer": notify_customer,
    }
    return operation.post(scope, scope.path("tickets"), _TICKET, fields, idempotency_key)


def get(scope: Scope, ticket_id: str) -> Operation[Ticket]:
    """Return the ticket. Raises `NotFoundError` if the workspace has no such ticket."""
    return operation.get(_path(scope, ticket_id), _TICKET)


def list_page(
    scope: Scope,
    *,
    status: str | Sequence[str] | None = None,
    priority: Priority | None = None,
    assignee_id: str | None = None,
    customer_id: str | None = None,
    customer_email: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    search: str | None = None,
    category_id: str | None = None,
    tag_ids: Sequence[str] | None = None,
    source: str | None = None,
    sort: Literal["created_at", "updated_at", "priority"] | None = None,
    order: Literal["asc", "desc"] | None = None,
    limit: int = 100,
    cursor: str | None = None,
) -> Operation[Page[Ticket]]:
    """Return tickets: `list` all that match, page after page, `list_page` one page.

    `status` is one key, several, or ``"active"``; the times have a time zone; `limit` is the
    size of a page, from 1 to 100; `cursor` is where to begin, from an earlier page.

    Raises `PaginationError` when the server's pages would never end.
    """
    filters = operation.query(
        scope,
        {
            "status": (
                status if isinstance(status, str | None) else arguments.strings("status", status)
            ),
            "priority": priority,
            "assignee_id": assignee_id,
            "customer_id": customer_id,
            "customer_email": customer_email,
            "created_after": created_after,
            "created_before": created_before,
            "search": search,
            "category_id": category_id,
            "tag_ids": None if tag_ids is None else arguments.strings("tag_ids", tag_ids),
            "source": source,
            "sort": None if sort is None else scope.name(sort),
            "order": order,
        },
    )
    return answers.pages(scope.path("tickets"), Ticket, filters, limit=limit, cursor=cursor)


def update(
    scope: Scope,
    ticket_id: str,
    *,
    subject: str | Unset = UNSET,
    body: str | Unset = UNSET,
    status: str | Unset = UNSET,
    priority: Priority | Unset | None = UNSET,
    customer_email: str | Unset = UNSET,
    customer_name: str | Unset = UNSET,
    assignee_id: str | Unset | None = UNSET,
    category_id: str | Unset | None = UNSET,
    tags: Sequence[str] | Unset = UNSET,
    links: Sequence[Mapping[str, JsonValue]] | Unset = UNSET,
    custom_fields: Mapping[str, JsonValue] | Unset = UNSET,
    metadata: Mapping[str, JsonValue] | Unset = UNSET,
    is_spam: bool | Unset = UNSET,
    notify_customer: bool | Unset = UNSET,
) -> Operation[Ticket]:
    """Change what is given and return the ticket; None clears a field, where it can be.

    Whether the API merges `custom_fields` or replaces them is not documented: send all that
    shall be there afterwards.
    """
    fields = {
        "subject": subject if subject is UNSET else arguments.text("subject", subject),
        "body": body,
        "customer_email": customer_email,
        "customer_name": customer_name,
        "status": status,
        "priority": priority,
        "assignee_id": assignee_id,
        "category_id": category_id,
        "tags": tags if tags is UNSET else arguments.strings("tags", tags),
        "links": links,
        "custom_fields": custom_fields,
        "metadata": metadata,
        "is_spam": is_spam,
        "notify_customer": notify_customer,
    }
    return operation.patch(scope, _path(scope, ticket_id), _TICKET, fields)


def delete(scope: Scope, ticket_id: str) -> Operation[None]:
    """Delete the ticket."""
    return operation.delete(_path(scope, ticket_id))


def mark_spam(scope: Scope, ticket_id: str, *, is_spam: bool = True) -> Operation[Ticket]:
    """Mark the ticket as spam, or as none, and return it."""
    path = f"{_path(scope, ticket_id)}/spam"
    return operation.post(scope, path, _TICKET, {"is_spam": is_spam}, None)


def merge(scope: Scope, ticket_id: str, *, source_ticket_ids: Sequence[str]) -> Operation[Ticket]:
    """Merge other tickets into this one, and return it."""
    fields = {"source_ticket_ids": _ids("source_ticket_ids", source_ticket_ids)}
    return operation.post(scope, f"{_path(scope, ticket_id)}/merge", _TICKET, fields, None)


def bulk(
    scope: Scope,
    *,
    action: BulkAction,
    ticket_ids: Sequence[str],
    assignee_id: str | Unset | None = UNSET,
    category_id: str | Unset | None = UNSET,
    tags: Sequence[str] | Unset = UNSET,
    close_reason: str | Unset = UNSET,
) -> Operation[BulkResult]:
    """Do the same to several tickets. `assign`, `setCategory` and `setTags` need their argument,
    which is None to clear it; `close` may have a `close_reason`.
    """
    fields = {
        "action": arguments.text("action", action),
        "ticket_ids": _ids("ticket_ids", ticket_ids),
        "assignee_id": assignee_id,
        "category_id": category_id,
        "tags": tags if tags is UNSET else arguments.strings("tags", tags),
        "close_reason": close_reason,
    }
    content = operation.changes(scope, fields)
    return Operation("POST", scope.path("tickets", "bulk"), answers.one(BulkResult), (), content)


def _ids(name: str, ticket_ids: Sequence[str]) -> list[str]:
    ids = arguments.strings(name, ticket_ids)
    if not ids:
        raise InvalidArgumentError(name, "must name at least one ticket")
    return ids


def _path(scope: Scope, ticket_id: str) -> str:
    return scope.path("tickets", arguments.segment("ticket_id", ticket_id))
