"""The list of tickets: filters, orders, pages."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import httpx
import pytest

import dispatch_sandbox

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """Each look is a minute later."""

    def __init__(self) -> None:
        self.time = BEGIN

    def __call__(self) -> datetime:
        self.time += timedelta(minutes=1)
        return self.time


@pytest.fixture
def api() -> Iterator[httpx.Client]:
    state = dispatch_sandbox.SandboxState(clock=Clock())
    with (
        dispatch_sandbox.running(state=state) as box,
        httpx.Client(
            base_url=f"{box.api_url}/workspaces/ws_sandbox",
            headers={"authorization": f"Bearer {dispatch_sandbox.API_KEY}"},
        ) as client,
    ):
        yield client


def create(api: httpx.Client, subject: str, **fields: Any) -> dict[str, Any]:
    ticket: dict[str, Any] = api.post("tickets", json={"subject": subject} | fields).json()
    return ticket


def subjects(api: httpx.Client, path: str = "tickets", **query: str | int) -> str:
    answer = api.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return " ".join(ticket["subject"] for ticket in answer.json()["data"])


def walk(api: httpx.Client, path: str = "tickets", **query: str | int) -> list[list[str]]:
    pages: list[list[str]] = []
    while True:
        page = api.get(path, params=query).json()
        pages.append([item["subject"] for item in page["data"]])
        pagination = page["pagination"]
        assert pagination["cursor"] == pagination["nextCursor"]
        assert pagination["hasMore"] == (pagination["cursor"] is not None)
        if not pagination["hasMore"]:
            return pages
        query["cursor"] = pagination["nextCursor"]


def test_the_newest_come_first_unless_asked_otherwise(api: httpx.Client) -> None:
    for name in "abc":
        create(api, name)
    assert subjects(api) == "c b a"
    assert subjects(api, order="asc") == "a b c"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"status": "pending"}, "b"),
        ({"status": "pending,closed"}, "c b"),
        ({"status": "active"}, "b a"),
        ({"status": "nope"}, ""),
        ({"priority": "high"}, "a"),
        ({"assignee_id": "usr_1"}, "b"),
        ({"category_id": "cat_1"}, "c"),
        ({"source": "widget"}, "a"),
        ({"source": "api"}, "c b"),
        ({"customer_email": "Jane@example.com"}, "b a"),
        ({"customer_email": "none@example.com"}, ""),
        ({"tag_ids": "vip,new"}, "c a"),
        ({"search": "SHOE"}, "b"),
        ({"search": "a"}, "a"),
        ({"status": "active", "priority": "high"}, "a"),
        ({"unknown": "x"}, "c b a"),
        ({"assigneeId": "of the other style"}, "c b a"),
    ],
)
def test_a_filter_gives_what_it_names(api: httpx.Client, query: dict[str, str], found: str) -> None:
    create(
        api, "a", priority="high", source="widget", tags=["vip"], customer_email="jane@example.com"
    )
    create(
        api, "b", status="pending", assignee_id="usr_1", body="my shoe",
        customer_email="jane@example.com",
    )  # fmt: skip
    create(api, "c", status="closed", category_id="cat_1", tags=["new"])
    assert subjects(api, **query) == found


def test_times_and_dates_bound_the_list(api: httpx.Client) -> None:
    first, second = create(api, "a"), create(api, "b")
    customer = create(api, "c", customer_email="x@y.z")["customer_id"]
    assert subjects(api, created_after=first["created_at"]) == "c b"
    assert subjects(api, created_before=second["created_at"]) == "a"
    assert subjects(api, created_after="2026-01-01") == "c b a"
    assert subjects(api, created_before="2026-01-01T00:00:00+00:00") == ""
    assert subjects(api, customer_id=customer) == "c"


def test_tickets_sort_by_update_and_by_priority(api: httpx.Client) -> None:
    tickets = {name: create(api, name) for name in "abcd"}
    for name, priority in (("c", "low"), ("a", "urgent"), ("d", "medium")):
        api.patch(f"tickets/{tickets[name]['id']}", json={"priority": priority})
    assert subjects(api, sort="updated_at") == "d a c b"
    assert subjects(api, sort="updatedAt", order="asc") == "b c a d"
    assert subjects(api, sort="priority") == "a d c b"
    assert subjects(api, sort="priority", order="asc") == "b c d a"


@pytest.mark.parametrize("sort", ["createdAt", "updatedAt", "priority"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_hold_each_ticket_once(api: httpx.Client, sort: str, order: str) -> None:
    for number in range(7):
        create(api, str(number), priority=["low", "high", None][number % 3])
    pages = walk(api, sort=sort, order=order, limit=3)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert " ".join(chain(*pages)) == subjects(api, sort=sort, order=order)


def test_a_last_page_that_is_full_promises_no_more(api: httpx.Client) -> None:
    for number in range(4):
        create(api, str(number), status="pending" if number % 2 else "open")
    assert walk(api, limit=2, order="asc") == [["0", "1"], ["2", "3"]]
    assert walk(api, limit=1, status="pending") == [["3"], ["1"]]
    assert walk(api, limit=2, status="closed") == [[]]


def test_pages_survive_changes_between_them(api: httpx.Client) -> None:
    tickets = [create(api, str(number)) for number in range(4)]
    page = api.get("tickets", params={"limit": 2, "order": "asc"}).json()
    api.delete(f"tickets/{tickets[1]['id']}")
    create(api, "4")
    cursor = page["pagination"]["cursor"]
    assert subjects(api, limit=5, order="asc", cursor=cursor) == "2 3 4"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "101"}, "limit"),
        ({"limit": "ten"}, "limit"),
        ({"limit": "9" * 5000}, "limit"),
        ({"limit": "٣"}, "limit"),
        ({"sort": "colour"}, "sort"),
        ({"order": "down"}, "order"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "not a cursor"}, "cursor"),
        ({"cursor": "ÿ"}, "cursor"),
        ({"cursor": base64.b64encode(b"1|updatedAt|x").decode()}, "cursor"),
        ({"created_after": "yesterday"}, "created_after"),
        ({"created_before": "9999-12-31T23:59:59-23:59"}, "created_before"),
    ],
)
def test_a_query_that_cannot_be_read_names_its_parameter(
    api: httpx.Client, query: dict[str, str], field: str
) -> None:
    answer = api.get("tickets", params=query)
    assert answer.status_code == 400
    assert [problem["field"] for problem in answer.json()["errors"]] == [field]


def test_the_cost_of_a_page_does_not_grow_with_what_is_before_it() -> None:
    """Counted, not timed: how many tickets a page deep in the list looks at."""
    state = dispatch_sandbox.SandboxState()
    for number in range(3000):
        dispatch_sandbox.add_ticket(state, title=str(number))
    looked_at = 0
    listing = state.workspaces["ws_sandbox"].ticket_list
    walked = listing.walk

    def counting(*args: Any, **options: Any) -> Any:
        nonlocal looked_at
        for entry in walked(*args, **options):
            looked_at += 1
            yield entry

    listing.walk = counting  # type: ignore[method-assign]
    with dispatch_sandbox.running(state=state) as box:
        url = f"{box.api_url}/workspaces/ws_sandbox/tickets"
        headers = {"authorization": f"Bearer {dispatch_sandbox.API_KEY}"}
        with httpx.Client(headers=headers) as client:
            query: dict[str, str] = {"limit": "100"}
            while query.get("cursor", "") is not None:
                query["cursor"] = client.get(url, params=query).json()["pagination"]["cursor"]
    assert looked_at == 3000 + 29
