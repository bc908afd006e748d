"""Comments: written by people and by the system, answered and changed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest


@pytest.fixture
def ticket(api: httpx.Client) -> str:
    path: str = api.post("tickets", json={"subject": "Return"}).json()["id"]
    return f"tickets/{path}"


def comment(api: httpx.Client, ticket: str, **fields: Any) -> dict[str, Any]:
    answer = api.post(f"{ticket}/comments", json={"body": "Hello"} | fields)
    assert answer.status_code == 201, answer.text
    written: dict[str, Any] = answer.json()
    return written


def test_a_comment_is_kept_as_written(api: httpx.Client, ticket: str, brands: httpx.Client) -> None:
    written = comment(
        api,
        ticket,
        author_name="Jane",
        author_type="CUSTOMER",
        metadata={"isInternal": True, "snake_key": 1},
        cc=["boss@example.com"],
    )
    assert written["author_type"] == "CUSTOMER"
    assert written["metadata"] == {"isInternal": True, "snake_key": 1}
    assert api.get(f"{ticket}/comments/{written['id']}").json() == written
    assert api.get(f"{ticket}/comments").json() == [written]
    assert api.get(ticket).json()["comment_count"] == 1
    shown = brands.get(f"{ticket}/comments/{written['id']}").json()
    assert (shown["authorName"], shown["ticketId"]) == ("Jane", written["ticket_id"])


def test_comments_are_listed_in_the_order_they_were_written(api: httpx.Client, ticket: str) -> None:
    first = comment(api, ticket, body="1")
    comment(api, ticket, body="2", parent_id=first["id"])
    assert [each["body"] for each in api.get(f"{ticket}/comments").json()] == ["1", "2"]


def test_a_comment_can_set_the_status(api: httpx.Client, ticket: str) -> None:
    comment(api, ticket, set_status="pending")
    assert api.get(ticket).json()["status"] == "pending"
    comments = api.get(f"{ticket}/comments").json()
    assert [each["author_type"] for each in comments] == ["AGENT", "SYSTEM"]
    assert "set_status" not in comments[0]


def test_a_comment_can_be_changed_and_deleted(api: httpx.Client, ticket: str) -> None:
    path = f"{ticket}/comments/{comment(api, ticket, metadata={'a': 1})['id']}"
    changed = api.patch(path, json={"body": "Changed", "metadata": {"b": 2}}).json()
    assert (changed["body"], changed["metadata"]) == ("Changed", {"a": 1, "b": 2})
    assert api.delete(path).status_code == 204
    assert api.get(path).status_code == 404
    assert api.get(ticket).json()["comment_count"] == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("body", ""),
        ("body", None),
        ("author_type", "ROBOT"),
        ("parent_id", "cmt_of_another_ticket"),
        ("set_status", "closed"),
        ("set_status", "nope"),
        ("metadata", "x"),
        ("cc", "x"),
    ],
)
def test_a_wrong_comment_names_its_field_and_is_not_written(
    api: httpx.Client, ticket: str, field: str, value: object
) -> None:
    answer = api.post(f"{ticket}/comments", json={"body": "Hello"} | {field: value})
    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json()["errors"]] == [field]
    assert api.get(f"{ticket}/comments").json() == []


def test_a_comment_of_another_ticket_is_not_found(api: httpx.Client, ticket: str) -> None:
    written = comment(api, ticket)
    other = api.post("tickets", json={"subject": "Another"}).json()["id"]
    assert api.get(f"tickets/{other}/comments/{written['id']}").status_code == 404
    assert api.get("tickets/tkt_none/comments").status_code == 404
