"""Attachments: announced here, sent to a presigned address, confirmed here."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlencode

from dispatch_returns.client import Attachment, UploadTarget
from dispatch_sandbox import checks
from dispatch_sandbox.answers import Problem, Reply, invalid, not_found
from dispatch_sandbox.endpoints import Call, Endpoint, array, gone, one
from dispatch_sandbox.resources import tickets
from dispatch_sandbox.wire import Record, new_id

EXPIRES_IN = 900
"""Seconds for which a presigned address is good."""
_LARGEST = 5 * 1024**3
_SECRET = ("readKey", "writeKey", "customerId", "brandId")


def create(call: Call, ticket_id: str) -> Reply:
    tickets.find(call.workspace, ticket_id)
    record = add(call, ticket_id)
    url = address(call, record, record["writeKey"])
    answer: Record = {"attachmentId": record["id"], "uploadUrl": url, "expiresIn": EXPIRES_IN}
    return Reply(answer)


def add(call: Call, ticket_id: str | None) -> Record:
    """Take down a file that is announced; its ticket may come later."""
    values = call.accept()
    now = call.state.now()
    fresh: Record = {
        "id": new_id("att"),
        "brandId": call.workspace.id,
        "ticketId": ticket_id,
        "commentId": None,
        "uploadedBy": None,
        "status": "PENDING",
        "metadata": {},
        "createdAt": now,
        "updatedAt": now,
        "customerId": call.customer_id,
        "readKey": secrets.token_hex(16),
        "writeKey": secrets.token_hex(16),
    }
    record = fresh | values
    call.workspace.add_attachment(record)
    call.state.save("attachment", record, call.workspace)
    return record


def confirm(call: Call, ticket_id: str, attachment_id: str) -> Reply:
    return Reply(show(confirmed(call, find(call, ticket_id, attachment_id))))


def confirmed(call: Call, record: Record) -> Record:
    """Take a file as uploaded, if all its bytes are there."""
    if record["status"] == "UPLOADED":
        return record
    arrived = call.state.blobs.size(record["id"])
    if arrived != record["size"]:
        raise invalid(Problem("size", f"{arrived or 0} of {record['size']} bytes were uploaded"))
    record.update(status="UPLOADED", updatedAt=call.state.now())
    call.state.save("attachment", record, call.workspace)
    if record["ticketId"] is not None:
        arrive(call, record)
    return record


def arrive(call: Call, record: Record) -> None:
    """Count an uploaded file on its ticket, and send the event."""
    ticket = call.workspace.tickets[record["ticketId"]]
    ticket["attachmentCount"] += 1
    call.state.save("ticket", ticket, call.workspace)
    _tell(call, "attachment.created", record, ticket)


def list_all(call: Call, ticket_id: str) -> Reply:
    tickets.find(call.workspace, ticket_id)
    return Reply([show(record) for record in of_ticket(call, ticket_id)])


def of_ticket(call: Call, ticket_id: str) -> list[Record]:
    """Return the uploaded files of a ticket."""
    return [
        record
        for record in call.workspace.attachments.values()
        if record["ticketId"] == ticket_id and record["status"] == "UPLOADED"
    ]


def get(call: Call, ticket_id: str, attachment_id: str) -> Reply:
    record = find(call, ticket_id, attachment_id)
    return Reply(show(record) | {"downloadUrl": address(call, record, record["readKey"])})


def delete(call: Call, ticket_id: str, attachment_id: str) -> Reply:
    record = find(call, ticket_id, attachment_id)
    del call.workspace.attachments[attachment_id]
    call.state.blobs.forget(attachment_id)
    call.state.forget("attachment", record)
    if record["status"] == "UPLOADED":
        ticket = call.workspace.tickets[ticket_id]
        ticket["attachmentCount"] -= 1
        call.state.save("ticket", ticket, call.workspace)
        _tell(call, "attachment.deleted", record, ticket)
    return call.gone(show(record))


def find(call: Call, ticket_id: str | None, attachment_id: str) -> Record:
    """Return a file of a ticket, or one that waits for its ticket. Raises a 404."""
    if ticket_id is not None:
        tickets.find(call.workspace, ticket_id)
    record = call.workspace.attachments.get(attachment_id)
    if record is None or record["ticketId"] != ticket_id:
        raise not_found("Attachment")
    return record


def show(record: Record) -> Record:
    """Return a file as the API shows it."""
    return {name: value for name, value in record.items() if name not in _SECRET}


def address(call: Call, record: Record, key: str) -> str:
    """Return an absolute address that is its own permission."""
    query = urlencode({"expires": call.state.later(EXPIRES_IN), "signature": key})
    return f"{call.origin}/files/{record['id']}?{query}"


def _tell(call: Call, event: str, record: Record, ticket: Record) -> None:
    names = ("id", "filename", "contentType", "size", "createdAt")
    data: Record = {
        "ticketId": ticket["id"],
        "ticketNumber": str(ticket["ticketNumber"]),
        "attachment": {name: record[name] for name in names},
    } | tickets.about_customer(call.workspace, ticket)
    call.state.deliveries.emit(call.workspace, event, data, ticket)


@checks.check(type="integer", minimum=0, maximum=_LARGEST)
def _size(value: Any) -> str | None:
    wrong = f"must be a whole number from 0 to {_LARGEST}"
    return (checks.integer(value) and wrong) or (None if 0 <= value <= _LARGEST else wrong)


FORM = checks.Form(
    {
        "filename": checks.filled,
        "contentType": checks.filled,
        "size": _size,
        "uploadedBy": checks.nullable(checks.text),
    },
    required=("filename", "contentType", "size"),
)

ENDPOINTS = (
    Endpoint("POST", "tickets/*/attachments", create, one(UploadTarget), FORM, status=201),
    Endpoint("GET", "tickets/*/attachments", list_all, array(Attachment)),
    Endpoint("GET", "tickets/*/attachments/*", get, one(Attachment)),
    Endpoint("DELETE", "tickets/*/attachments/*", delete, gone(Attachment)),
    Endpoint("POST", "tickets/*/attachments/*/confirm", confirm, one(Attachment)),
)
