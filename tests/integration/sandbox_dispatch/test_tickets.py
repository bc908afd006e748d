"""Tickets in both styles, their amounts, their statuses and their customers."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

import dispatch_sandbox

TICKET_FIELDS = {
    "id", "brandId", "ticketNumber", "title", "body", "status", "priority", "assigneeId",
    "customerId", "customer", "categoryId", "tags", "links", "customFields", "metadata", "source",
    "sourceId", "commentCount", "attachmentCount", "isSpam", "closeReason", "dueAt", "createdAt",
    "updatedAt", "deletedAt",
}  # fmt: skip
GUIDE = b"""{
  "subject": "Return Request - Order #1234",
  "customer_email": "jane@example.com",
  "status": "return_requested",
  "custom_fields": {
    "order_id": "1234",
    "return_reason": "wrong_size",
    "items_to_return": ["SKU-001"],
    "original_order_total": 149.00
  }
}"""


def create(api: httpx.Client, **fields: Any) -> dict[str, Any]:
    answer = api.post("tickets", json={"subject": "Return"} | fields)
    assert answer.status_code == 201, answer.text
    ticket: dict[str, Any] = answer.json()
    return ticket


def add_status(api: httpx.Client, key: str) -> None:
    assert api.post("statuses", json={"name": key, "key": key}).status_code == 201


def problems(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 400, answer.text
    return {problem["field"] for problem in answer.json()["errors"]}


def test_the_guides_ticket_comes_back_as_it_was_sent(api: httpx.Client) -> None:
    add_status(api, "return_requested")
    answer = api.post("tickets", content=GUIDE)
    ticket = answer.json()
    assert answer.status_code == 201
    assert ticket["subject"] == "Return Request - Order #1234"
    assert ticket["customer_email"] == ticket["customer"]["email"] == "jane@example.com"
    assert ticket["status"] == "return_requested"
    assert ticket["workspace_id"] == "ws_sandbox"
    assert ticket["custom_fields"]["items_to_return"] == ["SKU-001"]
    assert api.get(f"tickets/{ticket['id']}").json() == ticket


def test_the_brands_style_has_the_documented_fields(
    api: httpx.Client, brands: httpx.Client
) -> None:
    answer = brands.post("tickets", json={"title": "Return", "customerEmail": "jane@example.com"})
    ticket = answer.json()
    assert set(ticket) == TICKET_FIELDS
    other = api.get(f"tickets/{ticket['id']}").json()
    assert other["subject"] == ticket["title"]
    assert other["customer_id"] == ticket["customerId"]
    assert other["created_at"] == ticket["createdAt"]


def test_a_style_does_not_know_the_others_names(api: httpx.Client, brands: httpx.Client) -> None:
    assert problems(api.post("tickets", json={"title": "Return"})) == {"subject"}
    assert problems(brands.post("tickets", json={"subject": "Return"})) == {"title"}
    assert create(api, customFields={"a": 1}, assigneeId="usr_1")["custom_fields"] == {}
    assert problems(brands.post("tickets", json={"title": "x", "customFields": []})) == {
        "customFields"
    }


def test_keys_inside_custom_fields_and_metadata_are_nobodys_to_rename(
    api: httpx.Client, brands: httpx.Client
) -> None:
    theirs = {"order_id": "1", "orderId": "2", "title": "x", "customer": {"brandId": 1}}
    ticket = create(api, custom_fields=theirs, metadata=theirs)
    assert ticket["custom_fields"] == ticket["metadata"] == theirs
    shown = brands.get(f"tickets/{ticket['id']}").json()
    assert shown["customFields"] == shown["metadata"] == theirs


@pytest.mark.parametrize(
    "amount",
    ["149.00", "0.1", "1234567890.123456789012345", "1E+2", "-0.0", "12345678901234567890"],
)
def test_an_amount_keeps_its_digits(api: httpx.Client, amount: str) -> None:
    body = f'{{"subject":"Return","custom_fields":{{"refund_amount":{amount}}}}}'
    ticket = api.post("tickets", content=body).json()
    for answer in (api.get(f"tickets/{ticket['id']}"), api.get("tickets")):
        assert f'"custom_fields":{{"refund_amount":{amount}}}' in answer.text


def test_times_are_iso_with_milliseconds_and_z(api: httpx.Client) -> None:
    ticket = create(api)
    for name in ("created_at", "updated_at"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", ticket[name])


def test_an_unknown_field_is_ignored(api: httpx.Client) -> None:
    assert "wings" not in create(api, wings=2)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("subject", " "),
        ("subject", 7),
        ("body", 7),
        ("status", "no_such_status"),
        ("status", None),
        ("status", ["open"]),
        ("priority", "highest"),
        ("customer_email", "nobody"),
        ("customer_email", {}),
        ("assignee_id", 1),
        ("tags", ["a", 1]),
        ("links", {}),
        ("custom_fields", "x"),
        ("custom_fields", None),
        ("metadata", []),
        ("is_spam", 1),
        ("notify_customer", "yes"),
    ],
)
def test_a_wrong_value_names_its_field(api: httpx.Client, field: str, value: object) -> None:
    assert problems(api.post("tickets", json={"subject": "x"} | {field: value})) == {field}
    ticket = create(api)
    assert problems(api.patch(f"tickets/{ticket['id']}", json={field: value})) == {field}
    assert api.get(f"tickets/{ticket['id']}").json() == ticket


def test_all_wrong_fields_are_named_at_once(api: httpx.Client) -> None:
    answer = api.post("tickets", json={"status": "nope", "tags": 1})
    assert problems(answer) == {"subject", "status", "tags"}


def test_an_update_merges_custom_fields(api: httpx.Client) -> None:
    ticket = create(api, custom_fields={"order_id": "1234", "kept": {"deep": 1}})
    changed = api.patch(
        f"tickets/{ticket['id']}",
        json={"custom_fields": {"condition": "good", "order_id": "9"}, "metadata": {"a": 1}},
    ).json()
    assert changed["custom_fields"] == {"order_id": "9", "kept": {"deep": 1}, "condition": "good"}
    assert changed["metadata"] == {"a": 1}


def test_the_switch_makes_an_update_replace_custom_fields() -> None:
    with dispatch_sandbox.running(
        state=dispatch_sandbox.SandboxState(custom_fields="replace")
    ) as box:
        ticket = dispatch_sandbox.add_ticket(
            box.state, title="Return", customFields={"order_id": "1234"}
        )
        changed = httpx.patch(
            f"{box.api_url}/workspaces/ws_sandbox/tickets/{ticket['id']}",
            json={"custom_fields": {"condition": "good"}},
            headers={"authorization": f"Bearer {dispatch_sandbox.API_KEY}"},
        ).json()
    assert changed["custom_fields"] == {"condition": "good"}


def test_any_status_may_follow_any_other_and_each_change_is_written_down(api: httpx.Client) -> None:
    add_status(api, "refunded")
    path = f"tickets/{create(api)['id']}"
    for status in ("refunded", "closed", "open", "refunded"):
        assert api.patch(path, json={"status": status}).json()["status"] == status
    comments = api.get(f"{path}/comments").json()
    assert {comment["author_type"] for comment in comments} == {"SYSTEM"}
    assert [comment["body"] for comment in comments] == [
        "Status changed from open to refunded",
        "Status changed from refunded to closed",
        "Status changed from closed to open",
        "Status changed from open to refunded",
    ]
    assert api.get(path).json()["comment_count"] == 4


def test_an_update_that_changes_nothing_leaves_no_trace(api: httpx.Client) -> None:
    ticket = create(api, custom_fields={"a": 1})
    path = f"tickets/{ticket['id']}"
    answer = api.patch(path, json={"status": "open", "custom_fields": {"a": 1}})
    assert answer.json() == ticket
    assert api.get(f"{path}/comments").json() == []


def test_tickets_of_one_address_share_a_customer(api: httpx.Client) -> None:
    first = create(api, customer_email="jane@example.com", customer_name="Jane")
    second = create(api, customer_email="Jane@Example.com")
    assert first["customer_id"] == second["customer_id"]
    assert first["customer"]["name"] == "Jane"
    assert len(api.get("customers").json()["data"]) == 1


def test_an_update_can_give_a_ticket_to_another_customer_and_to_none(api: httpx.Client) -> None:
    path = f"tickets/{create(api, customer_email='jane@example.com')['id']}"
    other = api.patch(path, json={"customer_email": "john@example.com"}).json()
    assert other["customer"]["email"] == "john@example.com"
    none = api.patch(path, json={"customer_email": None}).json()
    assert (none["customer_id"], none["customer"]) == (None, None)


def test_a_deleted_ticket_is_gone(api: httpx.Client, control: httpx.Client) -> None:
    kept, deleted = create(api), create(api)
    path = f"tickets/{deleted['id']}"
    answer = api.delete(path)
    assert (answer.status_code, answer.content) == (204, b"")
    for method in ("GET", "PATCH", "DELETE"):
        assert api.request(method, path).status_code == 404
    assert api.get(f"{path}/comments").status_code == 404
    assert [ticket["id"] for ticket in api.get("tickets").json()["data"]] == [kept["id"]]
    assert control.get("state").json()["workspaces"]["ws_sandbox"]["tickets"] == 1
    assert create(api)["ticket_number"] == 3
