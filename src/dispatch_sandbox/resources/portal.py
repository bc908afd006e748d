"""The customers' portal: ways into it, and a customer's own tickets.

A customer sees neither internal notes nor what the system writes, and nothing of another customer.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from urllib.parse import urlencode

import httpx
from pydantic import AwareDatetime

from dispatch_returns.client import (
    Attachment,
    BulkResult,
    Model,
    PortalComment,
    PortalTicket,
    PortalToken,
)
from dispatch_sandbox import checks, tokens
from dispatch_sandbox.answers import Problem, Refusal, Reply, invalid, not_found
from dispatch_sandbox.endpoints import AccountCall, Call, Endpoint, array, one, page
from dispatch_sandbox.index import Paging
from dispatch_sandbox.resources import attachments, comments, customers, tickets
from dispatch_sandbox.state import SandboxState
from dispatch_sandbox.wire import Record
from dispatch_sandbox.workspace import Workspace

TOKEN_LASTS = 3600
LINK_LASTS = 900
_MOST = 50
_FEW = "20"
_SORTS = {"createdAt": "createdAt", "updatedAt": "updatedAt"}


class Announced(Model, frozen=True):
    """Where a file's bytes go, in the portal's words; clients read it as an `UploadTarget`."""

    attachment: Attachment
    upload_url: str
    expires_at: AwareDatetime


def create_token(call: Call) -> Reply:
    values = call.accept()
    return Reply(_token(call.state, call.workspace, values["email"], values.get("name")))


def send_magic_link(call: Call) -> Reply:
    """Mail nothing: the control API shows the link."""
    values = call.accept()
    token = secrets.token_urlsafe(24)
    call.state.magic_links[token] = {
        "brandId": call.workspace.id,
        "email": values["email"],
        "url": f"{values['portalUrl']}?{urlencode({'token': token})}",
        "expiresAt": call.state.later(LINK_LASTS),
    }
    return Reply({"success": True})


def verify(call: AccountCall) -> Reply:
    """Exchange a link's token, once."""
    given = call.accept()
    link = call.state.magic_links.pop(given["token"], None)
    workspace = None if link is None else call.state.workspaces.get(link["brandId"])
    if link is None or workspace is None or link["expiresAt"] < call.state.now():
        raise Refusal(401, "unauthorized", "This link is not, or no longer, good")
    return Reply(_token(call.state, workspace, link["email"], None))


def refresh(call: Call) -> Reply:
    customer = call.workspace.customers[call.customer_id]
    return Reply(_token(call.state, call.workspace, customer["email"], None))


def claimed(state: SandboxState, authorization: str) -> tuple[Workspace, str]:
    """Return the workspace and the customer of a portal token, or refuse with 401."""
    claims = tokens.read(authorization.removeprefix("Bearer "), state.portal_secret)
    if claims is not None and claims["exp"] > _seconds(state.now()):
        workspace = state.workspaces.get(claims["brandId"])
        if workspace is not None and claims["sub"] in workspace.customers:
            return workspace, claims["sub"]
    raise Refusal(401, "unauthorized", "The portal token is not, or no longer, good")


def create(call: Call) -> Reply:
    values = call.accept()
    waiting = [_waiting(call, one) for one in dict.fromkeys(values.pop("attachmentIds", ()))]
    email = call.workspace.customers[call.customer_id]["email"]
    fields = values | {"customerEmail": email, "source": "web"}
    ticket = tickets.add(call.state, call.workspace, fields)
    for record in waiting:
        record["ticketId"] = ticket["id"]
        call.state.save("attachment", record, call.workspace)
        attachments.arrive(call, record)
    return Reply(_show(call, ticket))


def list_page(call: Call) -> Reply:
    query = {"limit": _FEW, **call.query}
    paging = Paging.read(query, _SORTS, most=_MOST)
    status = query.get("status")
    return paging.page(
        call.workspace.ticket_list,
        lambda ticket: (
            ticket["customerId"] == call.customer_id and status in (None, ticket["status"])
        ),
        lambda ticket: _show(call, ticket),
    )


def get(call: Call, ticket_id: str) -> Reply:
    ticket = _find(call, ticket_id)
    shown = [_comment(comment) for comment in _visible(call, ticket)]
    brand = {"name": call.workspace.info["name"]}
    whole: Record = {"body": ticket["body"] or "", "brand": brand, "comments": shown}
    return Reply(_show(call, ticket) | whole)


def comment(call: Call, ticket_id: str) -> Reply:
    ticket = _find(call, ticket_id)
    values = call.accept()
    customer = call.workspace.customers[call.customer_id]
    author: Record = {"authorType": "CUSTOMER", "authorId": customer["id"]}
    values |= author | {"authorName": customer["name"] or customer["email"]}
    made = tickets.add_comment(call.state, call.workspace, ticket, values)
    comments.emit(call, "ticket.comment.created", ticket, made)
    return Reply(_comment(made))


def announce(call: Call, ticket_id: str) -> Reply:
    _find(call, ticket_id)
    return _announced(call, attachments.add(call, ticket_id))


def announce_pending(call: Call) -> Reply:
    return _announced(call, attachments.add(call, None))


def confirm(call: Call, ticket_id: str, attachment_id: str) -> Reply:
    _find(call, ticket_id)
    record = attachments.find(call, ticket_id, attachment_id)
    return Reply(attachments.show(attachments.confirmed(call, record)))


def confirm_pending(call: Call, attachment_id: str) -> Reply:
    record = attachments.find(call, None, attachment_id)
    if record["customerId"] != call.customer_id:
        raise not_found("Attachment")
    return Reply(attachments.show(attachments.confirmed(call, record)))


def list_attachments(call: Call, ticket_id: str) -> Reply:
    _find(call, ticket_id)
    return attachments.list_all(call, ticket_id)


def get_attachment(call: Call, ticket_id: str, attachment_id: str) -> Reply:
    _find(call, ticket_id)
    found = attachments.get(call, ticket_id, attachment_id).data
    assert isinstance(found, dict)
    return Reply(found | {"expiresAt": call.state.later(attachments.EXPIRES_IN)})


def _announced(call: Call, record: Record) -> Reply:
    answer: Record = {
        "attachment": attachments.show(record),
        "uploadUrl": attachments.address(call, record, record["writeKey"]),
        "expiresAt": call.state.later(attachments.EXPIRES_IN),
    }
    return Reply(answer)


def _waiting(call: Call, attachment_id: str) -> Record:
    record = call.workspace.attachments.get(attachment_id)
    mine = record is not None and record["customerId"] == call.customer_id
    if record is None or not mine or record["ticketId"] or record["status"] != "UPLOADED":
        raise invalid(Problem("attachmentIds", "must be files you uploaded for a new ticket"))
    return record


def _find(call: Call, ticket_id: str) -> Record:
    ticket = tickets.find(call.workspace, ticket_id)
    if ticket["customerId"] != call.customer_id:
        raise not_found("Ticket")
    return ticket


def _visible(call: Call, ticket: Record) -> list[Record]:
    return [
        comment
        for comment in call.workspace.comments[ticket["id"]].values()
        if comment["authorType"] != "SYSTEM" and comment["metadata"].get("isInternal") is not True
    ]


def _comment(comment: Record) -> Record:
    customer = comment["authorType"] == "CUSTOMER"
    return {
        "id": comment["id"],
        "body": comment["body"],
        "authorType": "CUSTOMER" if customer else "STAFF",
        "authorName": comment["authorName"] or ("Customer" if customer else "Support"),
        "createdAt": comment["createdAt"],
    }


def _show(call: Call, ticket: Record) -> Record:
    names = ("id", "title", "status", "priority", "createdAt", "updatedAt")
    prefix = call.workspace.info["ticketPrefix"] or "TKT"
    return {name: ticket[name] for name in names} | {
        "ticketNumber": f"{prefix}-{ticket['ticketNumber']}",
        "commentCount": len(_visible(call, ticket)),
    }


def _token(state: SandboxState, workspace: Workspace, email: str, name: str | None) -> Record:
    fields = {"customerEmail": email, "customerName": name}
    customer_id = customers.link(state, workspace, fields)
    assert customer_id is not None
    customer = workspace.customers[customer_id]
    expires = state.later(TOKEN_LASTS)
    claims: Record = {
        "sub": customer_id,
        "brandId": workspace.id,
        "exp": _seconds(expires),
        "jti": secrets.token_hex(8),
    }
    return {
        "token": tokens.issue(claims, state.portal_secret),
        "expiresAt": expires,
        "customerId": customer_id,
        "email": customer["email"],
        "name": customer["name"],
    }


def _seconds(stamp: str) -> int:
    return int(datetime.fromisoformat(stamp).timestamp())


@checks.check(type="string", format="uri")
def _url(value: object) -> str | None:
    try:
        url = httpx.URL(value)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError, httpx.InvalidURL):
        return "must be an http or https URL"
    return None if url.scheme in ("http", "https") and url.host else "must be an http or https URL"


_TOKEN = checks.Form(
    {"email": checks.email, "name": checks.nullable(checks.text)}, required=("email",)
)
_LINK = checks.Form({"email": checks.email, "portalUrl": _url}, required=("email", "portalUrl"))
_VERIFY = checks.Form({"token": checks.filled}, required=("token",))
_TICKET = checks.Form(
    {
        "title": checks.filled,
        "body": checks.nullable(checks.text),
        "attachmentIds": checks.texts,
    },
    required=("title",),
)
_COMMENT = checks.Form({"body": checks.filled}, required=("body",))
_QUERY: dict[str, Record] = {"status": {"type": "string"}} | Paging.query(_SORTS, most=_MOST)

ENDPOINTS = (
    Endpoint("POST", "portal/token", create_token, one(PortalToken), _TOKEN, status=201),
    Endpoint("POST", "portal/magic-link", send_magic_link, one(BulkResult), _LINK),
)
"""What the shop does, in its workspace."""

OPEN_ENDPOINTS = (Endpoint("POST", "portal/verify", verify, one(PortalToken), _VERIFY),)
"""What needs no key."""

PORTAL_ENDPOINTS = (
    Endpoint("POST", "portal/refresh", refresh, one(PortalToken)),
    Endpoint("GET", "portal/tickets", list_page, page(PortalTicket), query=_QUERY),
    Endpoint("POST", "portal/tickets", create, one(PortalTicket), _TICKET, status=201),
    Endpoint("GET", "portal/tickets/*", get, one(PortalTicket)),
    Endpoint(
        "POST", "portal/tickets/*/comments", comment, one(PortalComment), _COMMENT, status=201
    ),
    Endpoint(
        "POST",
        "portal/tickets/attachments/pending",
        announce_pending,
        one(Announced),
        attachments.FORM,
        status=201,
    ),
    Endpoint(
        "POST", "portal/tickets/attachments/pending/*/confirm", confirm_pending, one(Attachment)
    ),
    Endpoint(
        "POST",
        "portal/tickets/*/attachments",
        announce,
        one(Announced),
        attachments.FORM,
        status=201,
    ),
    Endpoint("GET", "portal/tickets/*/attachments", list_attachments, array(Attachment)),
    Endpoint("GET", "portal/tickets/*/attachments/*", get_attachment, one(Attachment)),
    Endpoint("POST", "portal/tickets/*/attachments/*/confirm", confirm, one(Attachment)),
)
"""What a customer does, with a portal token."""
