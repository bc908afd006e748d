"""The list of tickets: its filters, orders and pages."""

from __future__ import annotations

from collections.abc import Callable

from dispatch_returns.client import Ticket
from dispatch_sandbox.answers import Reply
from dispatch_sandbox.checks import moment
from dispatch_sandbox.endpoints import Call, Endpoint, page
from dispatch_sandbox.index import Paging
from dispatch_sandbox.resources.tickets import show
from dispatch_sandbox.wire import Record
from dispatch_sandbox.workspace import Workspace

Keep = Callable[[Record], bool]

_SORTS = {
    "createdAt": "createdAt",
    "updatedAt": "updatedAt",
    "priority": "priority",
    "created_at": "createdAt",
    "updated_at": "updatedAt",
}
_DONE = ("resolved", "closed")


def list_page(call: Call) -> Reply:
    workspace = call.workspace
    paging = Paging.read(call.query, _SORTS)
    kept = [
        make(workspace, call.query[name]) for name, make in _FILTERS.items() if name in call.query
    ]
    return paging.page(
        workspace.ticket_list,
        lambda ticket: all(keep(ticket) for keep in kept),
        lambda ticket: show(workspace, ticket),
    )


def _by_status(_: Workspace, value: str) -> Keep:
    if value == "active":
        return lambda ticket: ticket["status"] not in _DONE
    wanted = frozenset(value.split(","))
    return lambda ticket: ticket["status"] in wanted


def _equal(name: str) -> Callable[[Workspace, str], Keep]:
    return lambda _, value: lambda ticket: ticket[name] == value


def _by_email(workspace: Workspace, value: str) -> Keep:
    customer = workspace.customer(value)
    return lambda ticket: customer is not None and ticket["customerId"] == customer["id"]


def _created_after(_: Workspace, value: str) -> Keep:
    bound = moment("createdAfter", value)
    return lambda ticket: ticket["createdAt"] > bound


def _created_before(_: Workspace, value: str) -> Keep:
    bound = moment("createdBefore", value)
    return lambda ticket: ticket["createdAt"] < bound


def _by_tags(workspace: Workspace, value: str) -> Keep:
    ids = value.split(",")
    named = [tag["name"] for tag in workspace.tags.values() if tag["id"] in ids]
    wanted = frozenset((*ids, *named))
    return lambda ticket: not wanted.isdisjoint(ticket["tags"])


def _by_search(_: Workspace, value: str) -> Keep:
    wanted = value.lower()
    return lambda ticket: wanted in f"{ticket['title']}\n{ticket['body'] or ''}".lower()


_FILTERS = {
    "status": _by_status,
    "priority": _equal("priority"),
    "assigneeId": _equal("assigneeId"),
    "customerId": _equal("customerId"),
    "categoryId": _equal("categoryId"),
    "source": _equal("source"),
    "customerEmail": _by_email,
    "createdAfter": _created_after,
    "createdBefore": _created_before,
    "tagIds": _by_tags,
    "search": _by_search,
}
_TIME: Record = {"type": "string", "format": "date-time"}
_QUERY: dict[str, Record] = (
    {name: {"type": "string"} for name in _FILTERS}
    | {"createdAfter": _TIME, "createdBefore": _TIME}
    | Paging.query(_SORTS)
)

ENDPOINTS = (Endpoint("GET", "tickets", list_page, page(Ticket), query=_QUERY),)
