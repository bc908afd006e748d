"""The resources of both clients: the functions of `client.operations`, by the names users call."""

from __future__ import annotations

from typing import TypeAlias

from dispatch_returns.client.operations import (
    accounts,
    attachments,
    categories,
    comments,
    customers,
    fields,
    portal,
    statuses,
    tags,
    tickets,
    webhooks,
    workspaces,
)
from dispatch_returns.client.views import (
    AsynchronousRaw,
    BlockingRaw,
    Method,
    Pages,
    RawView,
    Resource,
    Steps,
    V,
)

B: TypeAlias = BlockingRaw
A: TypeAlias = AsynchronousRaw


class Accounts(Resource[V]):
    """The account the key belongs to."""

    with_raw_response: RawView[Accounts[B], Accounts[A]] = RawView()
    me = Method(accounts.me)
    usage = Method(accounts.usage)


class ApiKeys(Resource[V]):
    """The account's keys."""

    with_raw_response: RawView[ApiKeys[B], ApiKeys[A]] = RawView()
    create = Method(accounts.create_key)
    list = Method(accounts.list_keys)
    set_scope = Method(accounts.set_key_scope)
    delete = Method(accounts.delete_key)


class Workspaces(Resource[V]):
    """The workspaces the key can see."""

    with_raw_response: RawView[Workspaces[B], Workspaces[A]] = RawView()
    create = Method(workspaces.create)
    list = Method(workspaces.list_all)
    get = Method(workspaces.get)
    update = Method(workspaces.update)
    preview_delete = Method(workspaces.preview_delete)
    delete = Method(workspaces.delete)


class Tickets(Resource[V]):
    """Tickets of the workspace."""

    with_raw_response: RawView[Tickets[B], Tickets[A]] = RawView()
    create = Method(tickets.create)
    get = Method(tickets.get)
    list = Pages(tickets.list_page)
    list_page = Method(tickets.list_page)
    update = Method(tickets.update)
    delete = Method(tickets.delete)
    mark_spam = Method(tickets.mark_spam)
    merge = Method(tickets.merge)
    bulk = Method(tickets.bulk)


class Comments(Resource[V]):
    """Comments and internal notes on a ticket."""

    with_raw_response: RawView[Comments[B], Comments[A]] = RawView()
    create = Method(comments.create)
    list = Method(comments.list_all)
    get = Method(comments.get)
    update = Method(comments.update)
    delete = Method(comments.delete)


class Attachments(Resource[V]):
    """Files on a ticket. `upload` and `download` do all the calls it takes."""

    with_raw_response: RawView[Attachments[B], Attachments[A]] = RawView()
    create = Method(attachments.create)
    confirm = Method(attachments.confirm)
    list = Method(attachments.list_all)
    get = Method(attachments.get)
    delete = Method(attachments.delete)
    upload = Steps(attachments.upload)
    download = Steps(attachments.download)


class Webhooks(Resource[V]):
    """Webhooks of the workspace, and what was delivered to them."""

    with_raw_response: RawView[Webhooks[B], Webhooks[A]] = RawView()
    create = Method(webhooks.create)
    list = Method(webhooks.list_all)
    get = Method(webhooks.get)
    delete = Method(webhooks.delete)
    deliveries = Method(webhooks.deliveries)


class Statuses(Resource[V]):
    """Statuses that tickets of the workspace can have."""

    with_raw_response: RawView[Statuses[B], Statuses[A]] = RawView()
    create = Method(statuses.create)
    list = Method(statuses.list_all)
    get = Method(statuses.get)
    update = Method(statuses.update)
    delete = Method(statuses.delete)
    stats = Method(statuses.stats)
    reorder = Method(statuses.reorder)


class Fields(Resource[V]):
    """Definitions of custom fields."""

    with_raw_response: RawView[Fields[B], Fields[A]] = RawView()
    list = Method(fields.list_all)
    all = Method(fields.every)
    create = Method(fields.create)
    update = Method(fields.update)
    delete = Method(fields.delete)
    reorder = Method(fields.reorder)


class Customers(Resource[V]):
    """Customers of the workspace, which the API also calls contacts."""

    with_raw_response: RawView[Customers[B], Customers[A]] = RawView()
    create = Method(customers.create)
    get = Method(customers.get)
    list = Pages(customers.list_page)
    list_page = Method(customers.list_page)
    search = Method(customers.search)
    update = Method(customers.update)
    delete = Method(customers.delete)


class Categories(Resource[V]):
    """Categories of tickets."""

    with_raw_response: RawView[Categories[B], Categories[A]] = RawView()
    create = Method(categories.create)
    list = Method(categories.list_all)
    get = Method(categories.get)
    update = Method(categories.update)
    delete = Method(categories.delete)
    stats = Method(categories.stats)
    reorder = Method(categories.reorder)


class Tags(Resource[V]):
    """Tags of tickets."""

    with_raw_response: RawView[Tags[B], Tags[A]] = RawView()
    create = Method(tags.create)
    list = Method(tags.list_all)
    update = Method(tags.update)
    delete = Method(tags.delete)
    merge = Method(tags.merge)


class Portal(Resource[V]):
    """How a customer gets into the portal. The `PortalClient` does the rest."""

    with_raw_response: RawView[Portal[B], Portal[A]] = RawView()
    create_token = Method(portal.create_token)
    send_magic_link = Method(portal.send_magic_link)


class PortalSession(Resource[V]):
    """The customer's way in, and its renewal."""

    verify = Method(portal.verify)
    refresh = Method(portal.refresh)


class PortalTickets(Resource[V]):
    """The customer's own tickets."""

    with_raw_response: RawView[PortalTickets[B], PortalTickets[A]] = RawView()
    create = Method(portal.create_ticket)
    get = Method(portal.get_ticket)
    list = Pages(portal.list_tickets)
    list_page = Method(portal.list_tickets)
    comment = Method(portal.comment)


class PortalAttachments(Resource[V]):
    """Files on the customer's tickets, or for one that is about to be opened."""

    with_raw_response: RawView[PortalAttachments[B], PortalAttachments[A]] = RawView()
    create = Method(portal.create_attachment)
    confirm = Method(portal.confirm_attachment)
    list = Method(portal.list_attachments)
    get = Method(portal.get_attachment)
    upload = Steps(portal.upload)
    download = Steps(portal.download)
