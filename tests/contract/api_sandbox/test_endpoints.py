"""Every method of both clients, in both styles, against the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import product
from typing import Any

import pytest

from dispatch_returns import sandbox
from dispatch_returns.errors import ConflictError, NotFoundError, ValidationError
from tests.support.api_callers import Asynchronous, Blocking, Caller

Do = Any
"""Calls a method by its name, such as ``tickets.get``."""


def _name(client: tuple[type[Caller], str]) -> str:
    return f"{client[0].__name__}-{client[1]}"


@pytest.fixture(params=product([Blocking, Asynchronous], ["workspaces", "brands"]), ids=_name)
def caller(request: pytest.FixtureRequest) -> Iterator[Caller]:
    make, style = request.param
    with sandbox.running() as box:
        given = {"key": sandbox.API_KEY, "workspace": sandbox.WORKSPACE, "style": style}
        made = make(box.api_url, **given)
        yield made
        made.close()


@pytest.fixture
def do(caller: Caller) -> Do:
    return caller.call


def test_tickets(caller: Caller, do: Do) -> None:
    fields = {"order_id": "1234", "isGift": True, "original_order_total": Decimal("149.00")}
    made = do("tickets.create", subject="s", customer_email="j@example.com", custom_fields=fields)
    assert (made.subject, made.status, made.workspace_id) == ("s", "open", sandbox.WORKSPACE)
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


def test_customers(caller: Caller, do: Do) -> None:
    made = do("customers.create", email="bob@example.com", name="Bob", metadata={"isVip": True})
    assert (made.name, made.metadata) == ("Bob", {"isVip": True})
    assert do("customers.update", made.id, name="Rob").name == "Rob"
    assert do("customers.get", made.id).email == "bob@example.com"
    assert [found.id for found in do("customers.search", "bob@")] == [made.id]
    assert [found.id for found in caller.collect("customers.list", limit=1)] == [made.id]
    assert not do("customers.list_page").has_more


def test_workspaces(do: Do) -> None:
    assert [workspace.id for workspace in do("workspaces.list")] == [sandbox.WORKSPACE]
    assert do("workspaces.get") == do("workspaces.get", sandbox.WORKSPACE)
