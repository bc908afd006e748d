"""The customer portal: the way in, the customer's own tickets, and their attachments.

A token of an hour knows whose tickets they are, so no path names a workspace.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from dispatch_returns.client import answers, arguments, operation
from dispatch_returns.client.models import (
    Attachment,
    PortalComment,
    PortalTicket,
    PortalToken,
    UploadTarget,
)
from dispatch_returns.client.operation import Flow, Operation, Page, Scope
from dispatch_returns.client.operations import attachments
from dispatch_returns.client.operations.attachments import Source
from dispatch_returns.client.transfer import Progress

_TICKETS = "/portal/tickets"
_TOKEN = answers.one(PortalToken)
_TICKET = answers.one(PortalTicket)
_ATTACHMENT = answers.one(Attachment)


def create_token(scope: Scope, *, email: str, name: str | None = None) -> Operation[PortalToken]:
    """Return a token with which this customer alone can use the portal for an hour."""
    fields = {"email": arguments.text("email", email), "name": name}
    return operation.post(scope, scope.path("portal", "token"), _TOKEN, fields, None)


def send_magic_link(scope: Scope, *, email: str, portal_url: str) -> Operation[None]:
    """Mail the customer a link to `portal_url`, whose ``token`` `PortalClient.verify` takes."""
    fields = {
        "email": arguments.text("email", email),
        "portal_url": arguments.text("portal_url", portal_url),
    }
    path = scope.path("portal", "magic-link")
    return operation.post(scope, path, answers.nothing, fields, None)


def verify(scope: Scope, *, token: str) -> Operation[PortalToken]:
    """Return the portal token for the `token` of a magic link."""
    fields = {"token": arguments.token("token", token)}
    return operation.post(scope, "/portal/verify", _TOKEN, fields, None)


def refresh(scope: Scope) -> Operation[PortalToken]:
    """Return a new token in exchange for the one that is still good."""
    del scope
    return Operation("POST", "/portal/refresh", _TOKEN)


def create_ticket(
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
    return operation.post(scope, _TICKETS, _TICKET, fields, idempotency_key)


def get_ticket(scope: Scope, ticket_id: str) -> Operation[PortalTicket]:
    """Return the ticket with its comments; internal notes are not among them."""
    del scope
    return operation.get(_ticket_path(ticket_id), _TICKET)


def list_tickets(
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
    return answers.pages(_TICKETS, PortalTicket, filters, limit=limit, cursor=cursor, most=50)


def comment(
    scope: Scope, ticket_id: str, *, body: str, idempotency_key: str | None = None
) -> Operation[PortalComment]:
    """Write a comment and return it."""
    fields = {"body": arguments.text("body", body)}
    path = f"{_ticket_path(ticket_id)}/comments"
    return operation.post(scope, path, answers.one(PortalComment), fields, idempotency_key)


def _ticket_path(ticket_id: str) -> str:
    return f"{_TICKETS}/{arguments.segment('ticket_id', ticket_id)}"


def create_attachment(
    scope: Scope,
    ticket_id: str | None = None,
    *,
    filename: str,
    content_type: str,
    size: int,
) -> Operation[UploadTarget]:
    """Announce a file of `size` bytes, and return where its bytes are to be PUT (`upload` does).

    Without `ticket_id` it is for a ticket that is opened afterwards, with its id.
    """
    return attachments.announce(scope, _attachment_path(ticket_id), filename, content_type, size)


def confirm_attachment(
    scope: Scope, attachment_id: str, *, ticket_id: str | None = None
) -> Operation[Attachment]:
    """Say that the bytes are there, and return the attachment."""
    del scope
    return Operation("POST", f"{_attachment_path(ticket_id, attachment_id)}/confirm", _ATTACHMENT)


def list_attachments(scope: Scope, ticket_id: str) -> Operation[list[Attachment]]:
    """Return the ticket's attachments."""
    del scope
    return operation.get(_attachment_path(ticket_id), answers.many(Attachment))


def get_attachment(scope: Scope, ticket_id: str, attachment_id: str) -> Operation[Attachment]:
    """Return the attachment with its ``download_url``."""
    del scope
    return operation.get(_attachment_path(ticket_id, attachment_id), _ATTACHMENT)


def upload(
    scope: Scope,
    source: Source,
    *,
    ticket_id: str | None = None,
    filename: str | None = None,
    content_type: str | None = None,
    size: int | None = None,
    progress: Progress | None = None,
) -> Flow[Attachment]:
    """Upload a file, and return the attachment. It is read in small parts, never as a whole.

    `source` is a path, or a file that is open in binary (from where it stands; it stays open).
    `filename` and `content_type` follow from it where they are not given; `size`, in bytes, is
    needed only if it cannot be rewound. `progress` is called with the bytes sent and all.
    """
    return attachments.upload_steps(
        source,
        filename=filename,
        content_type=content_type,
        size=size,
        progress=progress,
        create=lambda name, kind, length: create_attachment(
            scope, ticket_id, filename=name, content_type=kind, size=length
        ),
        confirm=lambda attachment_id: confirm_attachment(scope, attachment_id, ticket_id=ticket_id),
    )


def download(
    scope: Scope,
    ticket_id: str,
    attachment_id: str,
    target: Source,
    *,
    progress: Progress | None = None,
) -> Flow[Attachment]:
    """Fetch the file, and return its attachment. It is held in small parts, never as a whole.

    `target` is a path, where the file appears once all of it is there, or a file that is open in
    binary. `progress` is called with the bytes that came and all (-1: unknown).
    """
    return attachments.download_steps(
        target, progress, get_attachment(scope, ticket_id, attachment_id)
    )


def _attachment_path(ticket_id: str | None, *attachment_id: str) -> str:
    ids = [arguments.segment("attachment_id", it) for it in attachment_id]
    if ticket_id is None:
        return "/".join((f"{_TICKETS}/attachments/pending", *ids))
    return "/".join((_ticket_path(ticket_id), "attachments", *ids))
