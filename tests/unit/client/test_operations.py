"""Each endpoint: its method, its path, its query and its body, in both styles."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from types import ModuleType
from typing import Any

import pytest

from dispatch_returns.client import UNSET
from dispatch_returns.client.operation import Operation, Scope
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
from dispatch_returns.errors import InvalidArgumentError

SNAKE, CAMEL = Scope("ws_1"), Scope("br_1", "brands")
AT = datetime(2024, 1, 15, tzinfo=UTC)
TICKET: dict[str, Any] = {
    "subject": "s", "body": "b", "customer_email": "e", "customer_name": "n", "status": "st",
    "priority": "low", "assignee_id": "a", "category_id": "c", "tags": ["t"],
    "links": [{"url": "u"}], "custom_fields": {"f": Decimal("1.10")}, "metadata": {"m": 1},
    "notify_customer": False,
}  # fmt: skip


def body(operation: Operation[Any]) -> Any:
    assert operation.content is not None
    return json.loads(operation.content, parse_float=Decimal)


FILE = {"filename": "f.png", "content_type": "image/png", "size": 1}
LINK = {"email": "e", "portal_url": "https://shop.example.com/portal"}
ENDPOINTS: list[tuple[ModuleType, str, list[str], dict[str, Any], str]] = [
    (tickets, "create", [], {"subject": "s"}, "POST /tickets"),
    (tickets, "get", ["t"], {}, "GET /tickets/t"),
    (tickets, "list_page", [], {}, "GET /tickets"),
    (tickets, "update", ["t"], {"status": "open"}, "PATCH /tickets/t"),
    (tickets, "delete", ["t"], {}, "DELETE /tickets/t"),
    (comments, "create", ["t"], {"body": "b"}, "POST /tickets/t/comments"),
    (comments, "list_all", ["t"], {}, "GET /tickets/t/comments"),
    (comments, "get", ["t", "c"], {}, "GET /tickets/t/comments/c"),
    (comments, "update", ["t", "c"], {"body": "b"}, "PATCH /tickets/t/comments/c"),
    (comments, "delete", ["t", "c"], {}, "DELETE /tickets/t/comments/c"),
    (webhooks, "create", [], {"url": "u", "events": ["*"]}, "POST /webhooks"),
    (webhooks, "list_all", [], {}, "GET /webhooks"),
    (webhooks, "get", ["w"], {}, "GET /webhooks/w"),
    (webhooks, "delete", ["w"], {}, "DELETE /webhooks/w"),
    (webhooks, "deliveries", ["w"], {}, "GET /webhooks/w/deliveries"),
    (statuses, "create", [], {"name": "n", "key": "k"}, "POST /statuses"),
    (statuses, "list_all", [], {}, "GET /statuses"),
    (statuses, "get", ["s"], {}, "GET /statuses/s"),
    (statuses, "update", ["s"], {"name": "n"}, "PATCH /statuses/s"),
    (statuses, "delete", ["s"], {}, "DELETE /statuses/s"),
    (fields, "list_all", [], {}, "GET /fields/ticket"),
    (fields, "create", [], {"key": "k", "label": "l", "type": "text"}, "POST /fields/ticket"),
    (fields, "update", ["k"], {"entity": "customer"}, "PATCH /fields/customer/k"),
    (fields, "delete", ["k"], {}, "DELETE /fields/ticket/k"),
    (customers, "create", [], {"email": "e"}, "POST /customers"),
    (customers, "get", ["c"], {}, "GET /customers/c"),
    (customers, "list_page", [], {}, "GET /customers"),
    (customers, "search", ["q"], {}, "GET /customers/search"),
    (customers, "update", ["c"], {"name": None}, "PATCH /customers/c"),
    (customers, "delete", ["c"], {}, "DELETE /customers/c"),
    (workspaces, "get", [], {}, "GET "),
    (workspaces, "update", [], {"name": "n"}, "PATCH "),
    (tickets, "mark_spam", ["t"], {}, "POST /tickets/t/spam"),
    (tickets, "merge", ["t"], {"source_ticket_ids": ["u"]}, "POST /tickets/t/merge"),
    (tickets, "bulk", [], {"action": "close", "ticket_ids": ["t"]}, "POST /tickets/bulk"),
    (attachments, "create", ["t"], FILE, "POST /tickets/t/attachments"),
    (attachments, "list_all", ["t"], {}, "GET /tickets/t/attachments"),
    (attachments, "get", ["t", "a"], {}, "GET /tickets/t/attachments/a"),
    (attachments, "delete", ["t", "a"], {}, "DELETE /tickets/t/attachments/a"),
    (statuses, "stats", [], {}, "GET /statuses/stats"),
    (statuses, "reorder", [], {"status_ids": ["s"]}, "POST /statuses/reorder"),
    (fields, "every", [], {}, "GET /fields"),
    (fields, "reorder", [], {"keys": ["k"]}, "POST /fields/ticket/reorder"),
    (categories, "create", [], {"name": "n"}, "POST /categories"),
    (categories, "list_all", [], {}, "GET /categories"),
    (categories, "get", ["c"], {}, "GET /categories/c"),
    (categories, "update", ["c"], {"name": "n"}, "PATCH /categories/c"),
    (categories, "delete", ["c"], {}, "DELETE /categories/c"),
    (categories, "stats", [], {}, "GET /categories/stats"),
    (categories, "reorder", [], {"category_ids": ["c"]}, "POST /categories/reorder"),
    (tags, "create", [], {"name": "n"}, "POST /tags"),
    (tags, "list_all", [], {}, "GET /tags"),
    (tags, "update", ["t"], {"name": "n"}, "PATCH /tags/t"),
    (tags, "delete", ["t"], {}, "DELETE /tags/t"),
    (tags, "merge", ["t"], {"source_tag_ids": ["u"]}, "POST /tags/t/merge"),
    (portal, "create_token", [], {"email": "e"}, "POST /portal/token"),
    (portal, "send_magic_link", [], LINK, "POST /portal/magic-link"),
]
# Paths that name no workspace and so no style.
ROOTED: list[tuple[ModuleType, str, list[str], dict[str, Any], str]] = [
    (accounts, "me", [], {}, "GET /accounts/me"),
    (accounts, "usage", [], {}, "GET /accounts/me/usage"),
    (accounts, "list_keys", [], {}, "GET /accounts/me/api-keys"),
    (accounts, "create_key", [], {"name": "n"}, "POST /accounts/me/api-keys"),
    (accounts, "set_key_scope", ["k"], {}, "PATCH /accounts/me/api-keys/k/scope"),
    (accounts, "delete_key", ["k"], {}, "DELETE /accounts/me/api-keys/k"),
    (portal, "verify", [], {"token": "t"}, "POST /portal/verify"),
    (portal, "create_ticket", [], {"subject": "s"}, "POST /portal/tickets"),
    (portal, "list_tickets", [], {}, "GET /portal/tickets"),
    (portal, "get_ticket", ["t"], {}, "GET /portal/tickets/t"),
    (portal, "comment", ["t"], {"body": "b"}, "POST /portal/tickets/t/comments"),
    (portal, "create_attachment", [], FILE, "POST /portal/tickets/attachments/pending"),
    (portal, "create_attachment", ["t"], FILE, "POST /portal/tickets/t/attachments"),
    (portal, "list_attachments", ["t"], {}, "GET /portal/tickets/t/attachments"),
    (portal, "get_attachment", ["t", "a"], {}, "GET /portal/tickets/t/attachments/a"),
]
# POSTs whose documented body is empty.
EMPTY: list[tuple[ModuleType, str, list[str], dict[str, Any], str]] = [
    (attachments, "confirm", ["t", "a"], {}, "/workspaces/ws_1/tickets/t/attachments/a/confirm"),
    (portal, "refresh", [], {}, "/portal/refresh"),
    (portal, "confirm_attachment", ["a"], {}, "/portal/tickets/attachments/pending/a/confirm"),
    (portal, "confirm_attachment", ["a"], {"ticket_id": "t"},
     "/portal/tickets/t/attachments/a/confirm"),
]  # fmt: skip


@pytest.mark.parametrize("scope", [SNAKE, CAMEL], ids=["workspaces", "brands"])
@pytest.mark.parametrize(("module", "name", "args", "arguments", "call"), ENDPOINTS)
def test_an_endpoint_is_where_the_documentation_says(  # noqa: PLR0917 - a row of the table
    scope: Scope, module: ModuleType, name: str, args: Any, arguments: Any, call: str
) -> None:
    operation = getattr(module, name)(scope, *args, **arguments)
    method, _, path = call.partition(" ")
    assert str(operation) == f"{method} {scope.path()}{path}"
    assert (operation.content is None) is (method in {"GET", "DELETE"})


@pytest.mark.parametrize("scope", [SNAKE, CAMEL], ids=["workspaces", "brands"])
@pytest.mark.parametrize(("module", "name", "args", "arguments", "call"), ROOTED)
def test_an_endpoint_outside_a_workspace_is_spoken_of_in_camel_case(  # noqa: PLR0917 - as above
    scope: Scope, module: ModuleType, name: str, args: Any, arguments: Any, call: str
) -> None:
    operation = getattr(module, name)(scope, *args, **arguments)
    assert str(operation) == call
    assert (operation.content is None) is call.startswith(("GET", "DELETE"))


@pytest.mark.parametrize(("module", "name", "args", "arguments", "path"), EMPTY)
def test_some_posts_have_no_body(
    module: ModuleType, name: str, args: Any, arguments: Any, path: str
) -> None:
    operation = getattr(module, name)(SNAKE, *args, **arguments)
    assert str(operation) == f"POST {path}"
    assert operation.content is None


def test_every_operation_is_in_the_table() -> None:
    modules = {module for module, *_ in (*ENDPOINTS, *ROOTED, *EMPTY)}
    defined = {
        (module, name)
        for module in modules
        for name, it in vars(module).items()
        if callable(it) and getattr(it, "__module__", "") == module.__name__ and name[0] != "_"
    }
    listed = {(module, name) for module, name, *_ in (*ENDPOINTS, *ROOTED, *EMPTY)}
    several_calls = {
        (module, name) for module in (attachments, portal) for name in ("upload", "download")
    }
    elsewhere = {(workspaces, name) for name in ("list_all", "create", "delete", "preview_delete")}
    transfers = {(attachments, name) for name in ("announce", "upload_steps", "download_steps")}
    assert defined - listed == several_calls | elsewhere | transfers


def test_a_workspace_is_deleted_only_when_that_is_confirmed() -> None:
    assert str(workspaces.preview_delete(CAMEL, "br_2")) == "DELETE /brands/br_2"
    assert workspaces.preview_delete(CAMEL, "br_2").query == ()
    assert workspaces.delete(SNAKE, "ws_2", confirm=True).query == (("confirm", "true"),)
    with pytest.raises(InvalidArgumentError, match="preview_delete"):
        workspaces.delete(SNAKE, "ws_2", confirm=False)


def test_customers_are_contacts_under_another_word() -> None:
    contacts = replace(CAMEL, people="contacts")
    assert str(customers.get(contacts, "c")) == "GET /brands/br_1/contacts/c"
    assert str(customers.search(contacts, "q")) == "GET /brands/br_1/contacts/search"
    assert str(customers.create(contacts, email="e")) == "POST /brands/br_1/contacts"


def test_what_names_workspaces_is_called_brands_on_the_wire() -> None:
    made = accounts.create_key(SNAKE, name="n", all_workspaces=False, workspace_ids=["ws_1"])
    assert body(made) == {"name": "n", "allBrands": False, "brandIds": ["ws_1"]}
    assert body(accounts.set_key_scope(SNAKE, "k", all_workspaces=True)) == {"allBrands": True}


def test_a_bulk_action_sends_what_it_is_given_and_none_clears() -> None:
    given = tickets.bulk(CAMEL, action="assign", ticket_ids=["t"], assignee_id=None)
    assert body(given) == {"action": "assign", "ticketIds": ["t"], "assigneeId": None}
    with pytest.raises(InvalidArgumentError, match="ticket_ids"):
        tickets.bulk(CAMEL, action="close", ticket_ids=[])


def test_every_filter_of_the_portal_is_sent() -> None:
    page = portal.list_tickets(
        CAMEL, status="open", sort="created_at", order="asc", limit=50, cursor="c"
    )
    assert dict(page.query) == {
        "status": "open", "sort": "createdAt", "order": "asc", "limit": "50", "cursor": "c",
    }  # fmt: skip
    with pytest.raises(InvalidArgumentError, match="1 to 50"):
        portal.list_tickets(CAMEL, limit=51)


def test_workspaces_are_listed_at_the_root_and_another_can_be_named() -> None:
    assert str(workspaces.list_all(SNAKE)) == "GET /workspaces"
    assert str(workspaces.list_all(CAMEL)) == "GET /brands"
    assert str(workspaces.get(SNAKE, "ws_2")) == "GET /workspaces/ws_2"


@pytest.mark.parametrize("make", [tickets.create, partial(tickets.update, ticket_id="t")])
def test_every_field_of_a_ticket_is_sent_under_its_name(
    make: Callable[..., Operation[Any]],
) -> None:
    assert body(make(SNAKE, **TICKET)) == TICKET
    assert body(make(CAMEL, **TICKET)) == {
        "title": "s", "body": "b", "customerEmail": "e", "customerName": "n", "status": "st",
        "priority": "low", "assigneeId": "a", "categoryId": "c", "tags": ["t"],
        "links": [{"url": "u"}], "customFields": {"f": Decimal("1.10")}, "metadata": {"m": 1},
        "notifyCustomer": False,
    }  # fmt: skip


def test_what_is_not_given_is_not_sent() -> None:
    assert body(tickets.create(SNAKE, subject="s")) == {"subject": "s"}
    assert body(tickets.update(SNAKE, "t")) == {}
    assert body(tickets.update(SNAKE, "t", subject=UNSET, assignee_id=UNSET)) == {}


def test_none_clears_a_field_of_an_update() -> None:
    cleared = tickets.update(SNAKE, "t", assignee_id=None, category_id=None)
    assert body(cleared) == {"assignee_id": None, "category_id": None}


def test_a_ticket_can_be_marked_as_spam() -> None:
    assert body(tickets.update(CAMEL, "t", is_spam=True)) == {"isSpam": True}


FILTERS: dict[str, Any] = {
    "status": ["open", "pending"], "priority": "high", "assignee_id": "a", "customer_id": "c",
    "customer_email": "jane+returns@example.com", "created_after": AT, "created_before": AT,
    "search": "two words", "category_id": "k", "tag_ids": ["x", "y"], "source": "api",
    "sort": "created_at", "order": "desc", "limit": 7, "cursor": "c/1",
}  # fmt: skip
TIME = "2024-01-15T00:00:00Z"


def test_every_filter_of_tickets_is_sent() -> None:
    assert dict(tickets.list_page(SNAKE, **FILTERS).query) == {
        **FILTERS, "status": "open,pending", "tag_ids": "x,y", "limit": "7",
        "created_after": TIME, "created_before": TIME,
    }  # fmt: skip
    assert dict(tickets.list_page(CAMEL, **FILTERS).query) == {
        "status": "open,pending", "priority": "high", "assigneeId": "a", "customerId": "c",
        "customerEmail": "jane+returns@example.com", "createdAfter": TIME, "createdBefore": TIME,
        "search": "two words", "categoryId": "k", "tagIds": "x,y", "source": "api",
        "sort": "createdAt", "order": "desc", "limit": "7", "cursor": "c/1",
    }  # fmt: skip


def test_every_filter_of_customers_is_sent() -> None:
    listing = customers.list_page(
        CAMEL, search="jane", company_id="co_1", sort="created_at", order="asc", cursor="c"
    )
    assert dict(listing.query) == {
        "search": "jane", "companyId": "co_1", "sort": "createdAt", "order": "asc",
        "limit": "100", "cursor": "c",
    }  # fmt: skip


def test_one_status_may_be_given_as_it_is() -> None:
    assert tickets.list_page(SNAKE, status="active", limit=1).query == (
        ("status", "active"),
        ("limit", "1"),
    )


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"created_after": AT.replace(tzinfo=None)}, "created_after"),
        ({"status": []}, "status"),
        ({"tag_ids": "vip"}, "tag_ids"),
        ({"search": ""}, "search"),
        ({"cursor": ""}, "cursor"),
        ({"limit": 101}, "limit"),
    ],
)
def test_a_bad_filter_is_refused(arguments: dict[str, Any], argument: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        tickets.list_page(SNAKE, **arguments)
    assert caught.value.argument == argument


def test_an_internal_note_says_so_beside_other_metadata() -> None:
    note = comments.create(CAMEL, "t", body="b", internal=True, metadata={"is_new": 1})
    assert body(note) == {"body": "b", "metadata": {"is_new": 1, "isInternal": True}}
    assert "metadata" not in body(comments.create(CAMEL, "t", body="b"))


def test_every_field_of_a_comment_is_sent() -> None:
    comment = comments.create(
        CAMEL, "t", body="b", author_name="n", author_type="SYSTEM", parent_id="c",
        set_status="pending", cc=["x@example.com"],
    )  # fmt: skip
    assert body(comment) == {
        "body": "b", "authorName": "n", "authorType": "SYSTEM", "parentId": "c",
        "setStatus": "pending", "cc": ["x@example.com"],
    }  # fmt: skip


def test_a_field_definition_is_sent() -> None:
    made = fields.create(
        CAMEL, key="condition", label="Condition", type="select", required=True,
        options=["good", "bad"], default_value=Decimal("1.0"), sort_order=2,
    )  # fmt: skip
    assert body(made) == {
        "key": "condition", "label": "Condition", "type": "select", "required": True,
        "options": ["good", "bad"], "defaultValue": Decimal("1.0"), "sortOrder": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("make", "argument"),
    [
        (lambda: webhooks.create(SNAKE, url="u", events=[]), "events"),
        (lambda: webhooks.create(SNAKE, url="u", events="ticket.updated"), "events"),
        (lambda: webhooks.create(SNAKE, url="u", events=["*"], secret="a b"), "secret"),
        (lambda: tickets.create(SNAKE, subject="s", idempotency_key="a\nb"), "idempotency_key"),
        (lambda: tickets.create(SNAKE, subject="s", idempotency_key=""), "idempotency_key"),
        (lambda: tickets.create(SNAKE, subject="s", tags="vip"), "tags"),
        (lambda: tickets.update(SNAKE, "t", custom_fields={"a": 1.5}), "custom_fields.a"),  # type: ignore[dict-item]
        (lambda: tickets.get(SNAKE, "../webhooks"), "ticket_id"),
        (lambda: comments.get(SNAKE, "t", "c/d"), "comment_id"),
        (lambda: customers.get(SNAKE, ""), "customer_id"),
        (lambda: webhooks.get(SNAKE, "?"), "webhook_id"),
        (lambda: statuses.get(SNAKE, "#"), "status_id"),
        (lambda: fields.delete(SNAKE, "a/b"), "key"),
        (lambda: workspaces.get(SNAKE, ".."), "workspace_id"),
    ],
)
def test_a_bad_argument_is_refused(make: Callable[[], object], argument: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        make()
    assert caught.value.argument == argument


def test_a_float_names_the_pythonic_argument_in_both_styles() -> None:
    with pytest.raises(InvalidArgumentError, match=r"^custom_fields\.refund_amount: a float"):
        tickets.create(CAMEL, subject="s", custom_fields={"refund_amount": 149.0})  # type: ignore[dict-item]


def test_a_customers_data_is_in_no_repr() -> None:
    made = tickets.create(SNAKE, subject="s", customer_email="jane@example.com")
    found = customers.search(SNAKE, "jane@example.com")
    assert "jane" not in f"{made!r} {found!r} {made} {found}"
