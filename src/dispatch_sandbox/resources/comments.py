"""Comments of a ticket: an internal note carries ``metadata.isInternal``."""

from __future__ import annotations

from dispatch_returns.client import Comment
from dispatch_sandbox import checks
from dispatch_sandbox.answers import Problem, Reply, invalid, not_found
from dispatch_sandbox.endpoints import Call, Endpoint, array, gone, one
from dispatch_sandbox.resources import tickets
from dispatch_sandbox.wire import Record

_CREATE = checks.Form(
    {
        "body": checks.filled,
        "authorName": checks.nullable(checks.text),
        "authorType": checks.one_of("CUSTOMER", "AGENT", "SYSTEM"),
        "parentId": checks.nullable(checks.text),
        "metadata": checks.mapping,
        "cc": checks.texts,
        "setStatus": checks.text,
    },
    required=("body",),
)
_CHANGE = checks.Form({name: _CREATE.checks[name] for name in ("body", "authorName", "metadata")})


def create(call: Call, ticket_id: str) -> Reply:
    state, workspace = call.state, call.workspace
    ticket = tickets.find(workspace, ticket_id)
    values = call.accept(setStatus=tickets.known_status(workspace))
    status = values.pop("setStatus", None)
    if status == "closed":
        raise invalid(Problem("setStatus", "must not be closed"))
    parent = values.get("parentId")
    if parent is not None and parent not in workspace.comments[ticket_id]:
        raise invalid(Problem("parentId", "is not a comment of this ticket"))
    comment = tickets.add_comment(state, workspace, ticket, values)
    emit(call, "ticket.comment.created", ticket, comment)
    if status is not None:
        tickets.change(state, workspace, ticket, {"status": status})
    return Reply(comment)


def list_all(call: Call, ticket_id: str) -> Reply:
    tickets.find(call.workspace, ticket_id)
    return Reply(list(call.workspace.comments[ticket_id].values()))


def get(call: Call, ticket_id: str, comment_id: str) -> Reply:
    return Reply(_find(call, ticket_id, comment_id))


def update(call: Call, ticket_id: str, comment_id: str) -> Reply:
    comment = _find(call, ticket_id, comment_id)
    values = call.accept()
    if "metadata" in values and call.state.merges:
        values["metadata"] = comment["metadata"] | values["metadata"]
    comment.update(values, updatedAt=call.state.now())
    call.state.save("comment", comment, call.workspace)
    emit(call, "comment.updated", call.workspace.tickets[ticket_id], comment)
    return Reply(comment)


def delete(call: Call, ticket_id: str, comment_id: str) -> Reply:
    comment = _find(call, ticket_id, comment_id)
    ticket = call.workspace.tickets[ticket_id]
    del call.workspace.comments[ticket_id][comment_id]
    ticket["commentCount"] -= 1
    call.state.forget("comment", comment)
    call.state.save("ticket", ticket, call.workspace)
    emit(call, "comment.deleted", ticket, comment)
    return call.gone(comment)


def emit(call: Call, event: str, ticket: Record, comment: Record) -> None:
    """Send an event about a comment."""
    data: Record = {
        "ticketId": ticket["id"],
        "ticketNumber": str(ticket["ticketNumber"]),
        "comment": {name: comment[name] for name in _IN_EVENT},
    } | tickets.about_customer(call.workspace, ticket)
    call.state.deliveries.emit(call.workspace, event, data, ticket)


def _find(call: Call, ticket_id: str, comment_id: str) -> Record:
    tickets.find(call.workspace, ticket_id)
    comment = call.workspace.comments[ticket_id].get(comment_id)
    if comment is None:
        raise not_found("Comment")
    return comment


_IN_EVENT = ("id", "body", "authorId", "authorType", "createdAt")

ENDPOINTS = (
    Endpoint("POST", "tickets/*/comments", create, one(Comment), _CREATE, status=201),
    Endpoint("GET", "tickets/*/comments", list_all, array(Comment)),
    Endpoint("GET", "tickets/*/comments/*", get, one(Comment)),
    Endpoint("PATCH", "tickets/*/comments/*", update, one(Comment), _CHANGE),
    Endpoint("DELETE", "tickets/*/comments/*", delete, gone(Comment)),
)
