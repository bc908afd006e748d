"""Every method of both clients, in both styles, against the sandbox."""

from __future__ import annotations

import io
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns.errors import (
    AuthenticationError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
    ValidationError,
)
from tests.support.api_callers import (
    Asynchronous,
    Blocking,
    Caller,
    PortalAsynchronous,
    PortalBlocking,
)

Do = Any
"""Calls a method by its name, such as ``tickets.get``."""


# A DELETE may be answered with nothing, or with what is gone: each client meets both.
CLIENTS = [
    (Blocking, "workspaces", "empty"),
    (Blocking, "brands", "json"),
    (Asynchronous, "workspaces", "json"),
    (Asynchronous, "brands", "empty"),
]


@pytest.fixture(scope="module")
def module_box() -> Iterator[dispatch_sandbox.Sandbox]:
    with dispatch_sandbox.running() as box:
        yield box


@pytest.fixture
def box(module_box: dispatch_sandbox.Sandbox) -> dispatch_sandbox.Sandbox:
    module_box.state.reset()
    return module_box


@pytest.fixture(params=CLIENTS, ids=lambda it: f"{it[0].__name__}-{it[1]}")
def caller(request: pytest.FixtureRequest, box: dispatch_sandbox.Sandbox) -> Iterator[Caller]:
    make, style, box.state.delete_answers = request.param
    given = {
        "key": dispatch_sandbox.API_KEY,
        "workspace": dispatch_sandbox.WORKSPACE,
        "style": style,
    }
    made = make(box.api_url, **given)
    yield made
    made.close()


@pytest.fixture
def do(caller: Caller) -> Do:
    return caller.call


def test_tickets(caller: Caller, do: Do) -> None:
    fields = {"order_id": "1234", "isGift": True, "original_order_total": Decimal("149.00")}
    made = do("tickets.create", subject="s", customer_email="j@example.com", custom_fields=fields)
    assert (made.subject, made.status, made.workspace_id) == (
        "s",
        "open",
        dispatch_sandbox.WORKSPACE,
    )
    assert (made.customer_email, made.custom_fields) == ("j@example.com", fields)
    changed = do(
        "tickets.update",
        made.id,
        status="pending",
        assignee_id=None,
        custom_fields={"refund_amount": Decimal("1.50")},
    )
    assert changed.custom_fields == {**fields, "refund_amount": Decimal("1.50")}
    assert do("tickets.get", made.id) == changed
    others = [do("tickets.create", subject=f"s{number}").id for number in range(4)]
    found = caller.collect("tickets.list", limit=2, sort="created_at", order="asc")
    assert [ticket.id for ticket in found] == [made.id, *others]
    assert [it.id for it in do("tickets.list_page", status="pending").data] == [made.id]
    do("tickets.delete", made.id)
    with pytest.raises(NotFoundError):
        do("tickets.get", made.id)


def test_a_repeated_create_makes_one_ticket(caller: Caller, do: Do) -> None:
    first = do("tickets.create", subject="s", idempotency_key="order-1234")
    assert do("tickets.create", subject="s", idempotency_key="order-1234") == first
    assert len(caller.collect("tickets.list")) == 1


def test_a_refused_ticket_names_the_field(do: Do) -> None:
    with pytest.raises(ValidationError) as caught:
        do("tickets.create", subject="s", status="unheard_of")
    assert [problem.field for problem in caught.value.errors] == ["status"]
    assert caught.value.request_id


def test_comments(do: Do) -> None:
    ticket_id = do("tickets.create", subject="s").id
    note = do("comments.create", ticket_id, body="b", internal=True, set_status="pending")
    assert (note.body, note.internal, note.ticket_id) == ("b", True, ticket_id)
    assert do("tickets.get", ticket_id).status == "pending"
    assert do("comments.update", ticket_id, note.id, body="c").body == "c"
    assert do("comments.get", ticket_id, note.id).body == "c"
    assert note.id in [comment.id for comment in do("comments.list", ticket_id)]
    do("comments.delete", ticket_id, note.id)
    assert note.id not in [comment.id for comment in do("comments.list", ticket_id)]


def test_webhooks(do: Do) -> None:
    made = do("webhooks.create", url="http://127.0.0.1:9/hook", events=["ticket.deleted"])
    assert (made.events, made.enabled) == (["ticket.deleted"], True)
    assert made.secret.startswith("whsec_")
    assert do("webhooks.get", made.id).secret is None
    assert [webhook.id for webhook in do("webhooks.list")] == [made.id]
    assert do("webhooks.deliveries", made.id) == []
    do("webhooks.delete", made.id)
    assert do("webhooks.list") == []


def test_statuses(do: Do) -> None:
    made = do("statuses.create", name="Return requested", key="return_requested")
    with pytest.raises(ConflictError):
        do("statuses.create", name="Again", key="return_requested")
    assert do("statuses.update", made.id, color="#00ff00").color == "#00ff00"
    assert do("statuses.get", made.id).name == "Return requested"
    keys = {status.key: status.is_system for status in do("statuses.list")}
    assert (keys["return_requested"], keys["open"]) == (False, True)
    do("statuses.delete", made.id)


@pytest.mark.parametrize("entity", ["ticket", "customer"])
def test_fields(do: Do, entity: str) -> None:
    do("fields.create", key="vip", label="VIP", type="boolean", entity=entity)
    assert do("fields.update", "vip", entity=entity, required=True).required
    assert [field.key for field in do("fields.list", entity=entity)] == ["vip"]
    do("fields.delete", "vip", entity=entity)
    assert do("fields.list", entity=entity) == []


def test_fields_of_all_entities_and_their_order(do: Do) -> None:
    for key in ("a", "b", "c"):
        do("fields.create", key=key, label=key, type="text")
    do("fields.create", key="vip", label="VIP", type="boolean", entity="customer")
    do("fields.reorder", keys=["c", "a"])
    assert [field.key for field in do("fields.list")] == ["c", "a", "b"]
    found = do("fields.all")
    assert [field.key for field in found.ticket] == ["c", "a", "b"]
    assert [field.sort_order for field in found.ticket] == [0, 1, 2]
    assert [field.key for field in found.customer] == ["vip"]


@pytest.mark.parametrize("people", ["customers", "contacts"])
def test_customers(caller: Caller, do: Do, people: str) -> None:
    made = do(f"{people}.create", email="bob@example.com", name="Bob", metadata={"isVip": True})
    assert (made.name, made.metadata) == ("Bob", {"isVip": True})
    assert do(f"{people}.update", made.id, name="Rob").name == "Rob"
    assert do("customers.get", made.id) == do("contacts.get", made.id)
    assert [found.id for found in do(f"{people}.search", "bob@")] == [made.id]
    assert [found.id for found in caller.collect(f"{people}.list", limit=1)] == [made.id]
    assert not do(f"{people}.list_page").has_more
    with pytest.raises(ConflictError):
        do(f"{people}.create", email="BOB@example.com")
    ticket = do("tickets.create", subject="s", customer_email="bob@example.com")
    do(f"{people}.delete", made.id)
    with pytest.raises(NotFoundError):
        do(f"{people}.get", made.id)
    assert do("tickets.get", ticket.id).customer_id is None


def test_workspaces(do: Do) -> None:
    assert [workspace.id for workspace in do("workspaces.list")] == [dispatch_sandbox.WORKSPACE]
    assert do("workspaces.get") == do("workspaces.get", dispatch_sandbox.WORKSPACE)
    made = do("workspaces.create", name="My Shop", ticket_prefix="RET", metadata={"isNew": 1})
    assert (made.slug, made.ticket_prefix, made.metadata) == ("my-shop", "RET", {"isNew": 1})
    with pytest.raises(ConflictError):
        do("workspaces.create", name="Other", slug="my-shop")
    origins = ["https://shop.example.com"]
    changed = do("workspaces.update", made.id, from_name="Shop", portal_origins=origins)
    assert (changed.from_name, changed.portal_origins) == ("Shop", origins)
    preview = do("workspaces.preview_delete", made.id)
    assert (preview.ticket_count, preview.webhook_count, preview.tag_count) == (0, 0, 0)
    assert do("workspaces.get", made.id) == changed
    do("workspaces.delete", made.id, confirm=True)
    with pytest.raises(NotFoundError):
        do("workspaces.get", made.id)


def test_the_account_and_its_usage(do: Do) -> None:
    assert do("accounts.me").id == "acc_sandbox"
    do("tickets.create", subject="s")
    usage = do("accounts.usage")
    assert (usage.tickets_total, usage.tickets_this_month, usage.workspaces_count) == (1, 1, 1)
    assert usage.plan.workspace_limit is None


def test_api_keys(caller: Caller, do: Do, box: dispatch_sandbox.Sandbox) -> None:
    other = do("workspaces.create", name="Other").id
    made = do("api_keys.create", name="Warehouse", workspace_ids=[other])
    assert made.key.startswith("sk_test_")
    assert (made.all_workspaces, made.workspace_ids) == (False, [other])
    [listed] = do("api_keys.list")
    assert (listed.id, listed.key, listed.key_preview[-4:]) == (made.id, None, made.key[-4:])
    make = Blocking if isinstance(caller, Blocking) else Asynchronous
    scoped = make(box.api_url, key=made.key, workspace=dispatch_sandbox.WORKSPACE)
    assert [workspace.id for workspace in scoped.call("workspaces.list")] == [other]
    for forbidden in ("tickets.list_page", "accounts.me"):
        with pytest.raises(PermissionDeniedError):
            scoped.call(forbidden)
    do("api_keys.set_scope", made.id, all_workspaces=True)
    assert scoped.call("tickets.list_page").data == []
    do("api_keys.delete", made.id)
    with pytest.raises(AuthenticationError):
        scoped.call("tickets.list_page")
    scoped.close()


def test_spam_and_merge(do: Do) -> None:
    target, source = (do("tickets.create", subject=word).id for word in ("one", "two"))
    do("comments.create", source, body="kept")
    assert do("tickets.mark_spam", target).is_spam
    assert not do("tickets.mark_spam", target, is_spam=False).is_spam
    merged = do("tickets.merge", target, source_ticket_ids=[source])
    assert (merged.id, merged.comment_count) == (target, 2)
    bodies = [(it.author_type, it.body) for it in do("comments.list", target)]
    assert bodies == [("AGENT", "kept"), ("SYSTEM", "Ticket 2 was merged into this one")]
    with pytest.raises(NotFoundError):
        do("tickets.get", source)
    with pytest.raises(ValidationError):
        do("tickets.merge", target, source_ticket_ids=[source])


BULK: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"action": "spam"}, {"is_spam": True}),
    ({"action": "resolve"}, {"status": "resolved"}),
    ({"action": "close", "close_reason": "done"}, {"status": "closed", "close_reason": "done"}),
    ({"action": "assign", "assignee_id": "usr_1"}, {"assignee_id": "usr_1"}),
    ({"action": "setCategory", "category_id": "cat_1"}, {"category_id": "cat_1"}),
    ({"action": "setTags", "tags": ["vip"]}, {"tags": ["vip"]}),
]


def test_many_tickets_at_once(do: Do) -> None:
    ids = [do("tickets.create", subject="s").id for _ in range(2)]
    for given, wanted in BULK:
        result = do("tickets.bulk", ticket_ids=[*ids, "tkt_none"], **given)
        assert (result.success, result.count) == (True, 2)
        for ticket_id in ids:
            ticket = do("tickets.get", ticket_id)
            assert {name: getattr(ticket, name) for name in wanted} == wanted
    with pytest.raises(ValidationError):
        do("tickets.bulk", action="assign", ticket_ids=ids)
    assert do("tickets.bulk", action="delete", ticket_ids=ids).count == 2
    assert do("tickets.list_page").data == []


def test_status_statistics_and_order(do: Do) -> None:
    made = do("statuses.create", name="Refunded", key="refunded")
    do("tickets.create", subject="s", status="refunded")
    counts = {status.key: status.ticket_count for status in do("statuses.stats")}
    assert (counts["refunded"], counts["open"]) == (1, 0)
    do("statuses.reorder", status_ids=[made.id])
    keys = [status.key for status in do("statuses.list")]
    assert keys == ["refunded", "open", "pending", "resolved", "closed"]


def test_categories(do: Do) -> None:
    first = do("categories.create", name="Returns", color="#f00")
    second = do("categories.create", name="Repairs", description="d", sort_order=7)
    assert (first.color, second.sort_order) == ("#f00", 7)
    assert do("categories.update", first.id, name="Refunds").name == "Refunds"
    assert do("categories.get", first.id).name == "Refunds"
    ticket = do("tickets.create", subject="s", category_id=first.id)
    counts = {it.id: it.ticket_count for it in do("categories.stats")}
    assert counts == {first.id: 1, second.id: 0}
    do("categories.reorder", category_ids=[second.id, first.id])
    assert [it.id for it in do("categories.list")] == [second.id, first.id]
    do("categories.delete", first.id)
    assert do("tickets.get", ticket.id).category_id is None
    with pytest.raises(NotFoundError):
        do("categories.get", first.id)


def test_tags(do: Do) -> None:
    vip, gold = (do("tags.create", name=name, color="#ff0") for name in ("vip", "gold"))
    with pytest.raises(ConflictError):
        do("tags.create", name="VIP")
    assert do("tags.update", gold.id, name="golden").name == "golden"
    ticket = do("tickets.create", subject="s", tags=["golden", "other"])
    assert [it.id for it in do("tickets.list_page", tag_ids=[gold.id]).data] == [ticket.id]
    assert do("tags.merge", vip.id, source_tag_ids=[gold.id]).id == vip.id
    assert [tag.id for tag in do("tags.list")] == [vip.id]
    assert do("tickets.get", ticket.id).tags == ["other", vip.id]
    do("tags.delete", vip.id)
    assert do("tickets.get", ticket.id).tags == ["other"]


def test_attachments(do: Do, tmp_path: Path) -> None:
    ticket_id = do("tickets.create", subject="s").id
    content = bytes(range(256)) * 1000
    (tmp_path / "photo.png").write_bytes(content)
    steps: list[tuple[int, int]] = []
    made = do(
        "attachments.upload",
        ticket_id,
        tmp_path / "photo.png",
        progress=lambda done, of: steps.append((done, of)),
    )
    assert (made.filename, made.content_type) == ("photo.png", "image/png")
    assert (made.size, made.status, made.ticket_id) == (len(content), "UPLOADED", ticket_id)
    assert steps[-1] == (len(content), len(content))
    assert len(steps) == 4
    other = do("attachments.upload", ticket_id, io.BytesIO(b"x"), filename="note")
    assert other.content_type == "application/octet-stream"
    assert [it.id for it in do("attachments.list", ticket_id)] == [made.id, other.id]
    assert do("tickets.get", ticket_id).attachment_count == 2
    got = do("attachments.download", ticket_id, made.id, tmp_path / "copy.png")
    assert got.id == made.id
    assert (tmp_path / "copy.png").read_bytes() == content
    into = io.BytesIO()
    do("attachments.download", ticket_id, made.id, into)
    assert into.getvalue() == content
    do("attachments.delete", ticket_id, made.id)
    with pytest.raises(NotFoundError):
        do("attachments.get", ticket_id, made.id)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy.png", "photo.png"]


def test_an_attachment_that_did_not_arrive_cannot_be_confirmed(do: Do) -> None:
    ticket_id = do("tickets.create", subject="s").id
    made = do("attachments.create", ticket_id, filename="f", content_type="text/plain", size=5)
    assert "/files/" in made.upload_url
    with pytest.raises(ValidationError):
        do("attachments.confirm", ticket_id, made.attachment_id)
    assert do("attachments.list", ticket_id) == []


def test_the_customers_side(
    caller: Caller, do: Do, box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    token = do("portal.create_token", email="jane@example.com", name="Jane")
    assert (token.email, token.name) == ("jane@example.com", "Jane")
    make = PortalBlocking if isinstance(caller, Blocking) else PortalAsynchronous
    portal = make(box.api_url, token=token)
    (tmp_path / "a.txt").write_bytes(b"hello")
    waiting = portal.call("attachments.upload", tmp_path / "a.txt")
    ticket = portal.call("tickets.create", subject="It does not fit", attachment_ids=[waiting.id])
    assert ticket.ticket_number == "TKT-1"
    portal.call("attachments.upload", tmp_path / "a.txt", ticket_id=ticket.id)
    assert len(portal.call("attachments.list", ticket.id)) == 2
    into = io.BytesIO()
    portal.call("attachments.download", ticket.id, waiting.id, into)
    assert into.getvalue() == b"hello"
    do("comments.create", ticket.id, body="a secret", internal=True)
    do("comments.create", ticket.id, body="Send it back", set_status="pending")
    portal.call("tickets.comment", ticket.id, body="Done")
    shown = portal.call("tickets.get", ticket.id)
    assert (shown.status, shown.comment_count) == ("pending", 2)
    bodies = [(it.author_type, it.body) for it in shown.comments]
    assert bodies == [("STAFF", "Send it back"), ("CUSTOMER", "Done")]
    others = do("tickets.create", subject="s", customer_email="bob@example.com").id
    with pytest.raises(NotFoundError):
        portal.call("tickets.get", others)
    portal.call("tickets.create", subject="Another")
    assert len(portal.collect("tickets.list", limit=1)) == 2
    assert [it.id for it in portal.call("tickets.list_page", status="pending").data] == [ticket.id]
    renewed = portal.call("refresh")
    assert renewed.token != token.token
    assert portal.call("tickets.get", ticket.id).id == ticket.id
    assert token.token not in f"{portal.client!r} {token!r}"
    portal.close()


def test_a_magic_link_lets_a_customer_in_once(
    caller: Caller, do: Do, box: dispatch_sandbox.Sandbox
) -> None:
    address = "https://shop.example.com/portal"
    do("portal.send_magic_link", email="jane@example.com", portal_url=address)
    [link] = box.state.magic_links.values()
    assert link["url"].startswith(f"{address}?token=")
    given = link["url"].partition("token=")[2]
    portal = (PortalBlocking if isinstance(caller, Blocking) else PortalAsynchronous)(
        box.api_url, token="not.yet"
    )
    token = portal.call("verify", given, base_url=box.api_url)
    assert token.email == "jane@example.com"
    with pytest.raises(AuthenticationError) as caught:
        portal.call("verify", given, base_url=box.api_url)
    assert given not in f"{caught.value} {vars(caught.value)}"
    with pytest.raises(AuthenticationError):
        portal.call("tickets.list_page")
    portal.close()
