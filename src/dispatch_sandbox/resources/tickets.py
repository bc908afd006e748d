"""Tickets: any status may follow any other, as in the real service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dispatch_returns.client import Ticket
from dispatch_sandbox import checks
from dispatch_sandbox.answers import Reply, not_found
from dispatch_sandbox.endpoints import Call, Endpoint, gone, one
from dispatch_sandbox.resources import customers
from dispatch_sandbox.state import WORKSPACE, SandboxState
from dispatch_sandbox.wire import Record, new_id
from dispatch_sandbox.workspace import PRIORITIES, Workspace

CHANGE = checks.Form(
    {
        "title": checks.filled,
        "body": checks.nullable(checks.text),
        "priority": checks.nullable(checks.one_of(*PRIORITIES)),
        "customerEmail": checks.nullable(checks.email),
        "customerName": checks.nullable(checks.text),
        "assigneeId": checks.nullable(checks.text),
        "categoryId": checks.nullable(checks.text),
        "tags": checks.texts,
        "links": checks.array,
        "customFields": checks.mapping,
        "metadata": checks.mapping,
        "source": checks.text,
        "notifyCustomer": checks.boolean,
        "isSpam": checks.boolean,
        "status": checks.text,
    }
)
CREATE = checks.Form(CHANGE.checks, required=("title",))
_MERGED = ("customFields", "metadata")
_NOT_KEPT = ("customerEmail", "customerName", "notifyCustomer")
"""Fields that are read and not kept: the customer is linked, and no notification is sent."""


def create(call: Call) -> Reply:
    return Reply(show(call.workspace, add(call.state, call.workspace, call.body)))


def get(call: Call, ticket_id: str) -> Reply:
    return Reply(show(call.workspace, find(call.workspace, ticket_id)))


def update(call: Call, ticket_id: str) -> Reply:
    workspace = call.workspace
    ticket = find(workspace, ticket_id)
    values = call.accept(status=known_status(workspace))
    if "customerEmail" in values:
        values["customerId"] = customers.link(call.state, workspace, values)
    if call.state.merges:
        values |= {name: ticket[name] | values[name] for name in _MERGED if name in values}
    change(call.state, workspace, ticket, _kept(values))
    return Reply(show(workspace, ticket))


def delete(call: Call, ticket_id: str) -> Reply:
    ticket = find(call.workspace, ticket_id)
    remove(call.state, call.workspace, ticket)
    return call.gone(show(call.workspace, ticket))


def remove(state: SandboxState, workspace: Workspace, ticket: Record) -> None:
    """Delete a ticket: it is kept, and stands in no list."""
    workspace.ticket_list.remove(ticket)
    ticket["deletedAt"] = state.now()
    state.save("ticket", ticket, workspace)
    names = ("id", "ticketNumber", "title", "status", "priority", "deletedAt")
    data = {name: ticket[name] for name in names} | about_customer(workspace, ticket)
    state.deliveries.emit(workspace, "ticket.deleted", data, ticket)


def find(workspace: Workspace, ticket_id: str) -> Record:
    """Return a ticket that is not deleted. Raises a 404."""
    ticket = workspace.tickets.get(ticket_id)
    if ticket is None or ticket["deletedAt"] is not None:
        raise not_found("Ticket")
    return ticket


def add(state: SandboxState, workspace: Workspace, fields: Record) -> Record:
    """Check the fields, create the ticket, and its customer if the address is new."""
    values = CREATE.accept(fields, status=known_status(workspace))
    now = state.now()
    fresh: Record = {
        "id": new_id("tkt"),
        "brandId": workspace.id,
        "ticketNumber": len(workspace.tickets) + 1,
        "title": values["title"],
        "body": None,
        "status": "open",
        "priority": None,
        "assigneeId": None,
        "customerId": customers.link(state, workspace, values),
        "categoryId": None,
        "tags": [],
        "links": [],
        "customFields": {},
        "metadata": {},
        "source": "api",
        "sourceId": None,
        "commentCount": 0,
        "attachmentCount": 0,
        "isSpam": False,
        "closeReason": None,
        "dueAt": None,
        "createdAt": now,
        "updatedAt": now,
        "deletedAt": None,
    }
    ticket = fresh | _kept(values)
    workspace.add_ticket(ticket)
    state.save("ticket", ticket, workspace)
    names = ("id", "ticketNumber", "title", "status", "priority", "source", "createdAt")
    state.deliveries.emit(
        workspace,
        "ticket.created",
        {name: ticket[name] for name in names} | about_customer(workspace, ticket),
        ticket,
    )
    return ticket


def add_ticket(state: SandboxState, workspace: str = WORKSPACE, **fields: Any) -> Record:
    """Create a ticket in a sandbox as the API would, without HTTP, and return it.

    The fields have the brands' names (``title``, ``customerEmail``).
    """
    with state.transaction():
        return dict(add(state, state.workspaces[workspace], fields))


def change(state: SandboxState, workspace: Workspace, ticket: Record, values: Record) -> None:
    """Set fields; where nothing differs, nothing happens, and no event is sent."""
    changed = [name for name, value in values.items() if ticket[name] != value]
    if not changed:
        return
    before = ticket["status"]
    workspace.ticket_list.change(ticket, values | {"updatedAt": state.now()})
    if "status" in changed:
        text = f"Status changed from {before} to {ticket['status']}"
        add_comment(state, workspace, ticket, {"body": text, "authorType": "SYSTEM"})
    state.save("ticket", ticket, workspace)
    data = _updated(workspace, ticket) | {"changes": changed}
    state.deliveries.emit(workspace, "ticket.updated", data, ticket)
    if "status" in changed and "closed" in (before, ticket["status"]):
        event = "ticket.reopened" if before == "closed" else "ticket.closed"
        data = _updated(workspace, ticket) | {"closeReason": ticket["closeReason"]}
        state.deliveries.emit(workspace, event, data, ticket)


def add_comment(
    state: SandboxState, workspace: Workspace, ticket: Record, values: Record
) -> Record:
    """Add a comment to a ticket."""
    now = state.now()
    fresh: Record = {
        "id": new_id("cmt"),
        "ticketId": ticket["id"],
        "parentId": None,
        "body": values["body"],
        "authorId": None,
        "authorType": "AGENT",
        "authorName": None,
        "metadata": {},
        "cc": [],
        "createdAt": now,
        "updatedAt": now,
    }
    comment = fresh | values
    workspace.add_comment(comment)
    ticket["commentCount"] += 1
    state.save("comment", comment, workspace)
    state.save("ticket", ticket, workspace)
    return comment


def show(workspace: Workspace, ticket: Record) -> Record:
    """Return the ticket as the API shows it, with its customer."""
    customer = workspace.customers.get(ticket["customerId"])
    if customer is None:
        return {**ticket, "customer": None, "customerEmail": None}
    shown = {name: customer[name] for name in ("id", "email", "name")}
    return {**ticket, "customer": shown, "customerEmail": customer["email"]}


def about_customer(workspace: Workspace, ticket: Record) -> Record:
    """Return the three fields about the customer that every event has."""
    customer = workspace.customers.get(ticket["customerId"])
    return {
        "customerId": ticket["customerId"],
        "customerEmail": customer and customer["email"],
        "customerName": customer and customer["name"],
    }


def known_status(workspace: Workspace) -> Callable[[object], str | None]:
    """Accept the key of a status of this workspace that is not deleted."""

    def check(value: object) -> str | None:
        known = isinstance(value, str) and value in workspace.statuses_by_key
        return None if known else "is not a status of this workspace"

    return check


def _kept(values: Record) -> Record:
    return {name: value for name, value in values.items() if name not in _NOT_KEPT}


def _updated(workspace: Workspace, ticket: Record) -> Record:
    names = ("id", "ticketNumber", "title", "status", "priority", "assigneeId", "updatedAt")
    return {name: ticket[name] for name in names} | about_customer(workspace, ticket)


ENDPOINTS = (
    Endpoint("POST", "tickets", create, one(Ticket), CREATE, status=201),
    Endpoint("GET", "tickets/*", get, one(Ticket)),
    Endpoint("PATCH", "tickets/*", update, one(Ticket), CHANGE),
    Endpoint("DELETE", "tickets/*", delete, gone(Ticket)),
)
