"""What can be done to tickets besides changing their fields: spam, merge, and many at once."""

from __future__ import annotations

from collections.abc import Callable

from dispatch_returns.client import BulkResult, Ticket
from dispatch_sandbox import checks
from dispatch_sandbox.answers import Problem, Reply, invalid
from dispatch_sandbox.endpoints import Call, Endpoint, one
from dispatch_sandbox.resources import tickets
from dispatch_sandbox.wire import Record


def spam(call: Call, ticket_id: str) -> Reply:
    ticket = tickets.find(call.workspace, ticket_id)
    values = call.accept()
    tickets.change(call.state, call.workspace, ticket, values)
    return Reply(tickets.show(call.workspace, ticket))


def merge(call: Call, ticket_id: str) -> Reply:
    """Move comments and attachments over; the other tickets are gone afterwards."""
    workspace = call.workspace
    target = tickets.find(workspace, ticket_id)
    ids = dict.fromkeys(call.accept()["sourceTicketIds"])
    others = [workspace.tickets.get(other) for other in ids]
    if ticket_id in ids or any(it is None or it["deletedAt"] is not None for it in others):
        raise invalid(Problem("sourceTicketIds", "must be other tickets of this workspace"))
    comments = workspace.comments
    for source in [workspace.tickets[other] for other in ids]:
        for comment in comments[source["id"]].values():
            comment["ticketId"] = target["id"]
            comments[target["id"]][comment["id"]] = comment
            call.state.save("comment", comment, call.workspace)
        comments[source["id"]] = {}
        for attachment in call.workspace.attachments.values():
            if attachment["ticketId"] == source["id"]:
                attachment["ticketId"] = target["id"]
                call.state.save("attachment", attachment, call.workspace)
        for name in ("commentCount", "attachmentCount"):
            target[name] += source[name]
            source[name] = 0
        source["mergedIntoId"] = target["id"]
        tickets.remove(call.state, workspace, source)
        text = f"Ticket {source['ticketNumber']} was merged into this one"
        values: Record = {"body": text, "authorType": "SYSTEM"}
        tickets.add_comment(call.state, workspace, target, values)
    return Reply(tickets.show(workspace, target))


def bulk(call: Call) -> Reply:
    """Do one thing to all of the tickets that are there."""
    given = call.accept()
    action = given["action"]
    needed = _NEEDS.get(action)
    if needed is not None and needed not in given:
        raise invalid(Problem(needed, f"is required for {action}"))
    found = [
        ticket
        for ticket_id in dict.fromkeys(given["ticketIds"])
        if (ticket := call.workspace.tickets.get(ticket_id)) and ticket["deletedAt"] is None
    ]
    for ticket in found:
        if action == "delete":
            tickets.remove(call.state, call.workspace, ticket)
        else:
            tickets.change(call.state, call.workspace, ticket, _SETS[action](given))
    return Reply({"success": True, "count": len(found)})


_NEEDS = {"assign": "assigneeId", "setCategory": "categoryId", "setTags": "tags"}
_SETS: dict[str, Callable[[Record], Record]] = {
    "spam": lambda _: {"isSpam": True},
    "resolve": lambda _: {"status": "resolved"},
    "close": lambda given: {"status": "closed", "closeReason": given.get("closeReason")},
    "assign": lambda given: {"assigneeId": given["assigneeId"]},
    "setCategory": lambda given: {"categoryId": given["categoryId"]},
    "setTags": lambda given: {"tags": given["tags"]},
}
_SPAM = checks.Form({"isSpam": checks.boolean}, required=("isSpam",))
_MERGE = checks.Form({"sourceTicketIds": checks.some_texts}, required=("sourceTicketIds",))
_BULK = checks.Form(
    {
        "action": checks.one_of("delete", *_SETS),
        "ticketIds": checks.texts,
        "assigneeId": checks.nullable(checks.text),
        "categoryId": checks.nullable(checks.text),
        "tags": checks.texts,
        "closeReason": checks.nullable(checks.text),
    },
    required=("action", "ticketIds"),
)

ENDPOINTS = (
    Endpoint("POST", "tickets/*/spam", spam, one(Ticket), _SPAM),
    Endpoint("POST", "tickets/*/merge", merge, one(Ticket), _MERGE),
    Endpoint("POST", "tickets/bulk", bulk, one(BulkResult), _BULK),
)
