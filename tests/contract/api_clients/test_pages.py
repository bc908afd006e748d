"""Lists over many pages: all of it, in order, and never for ever."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from dispatch_returns.errors import APIResponseError, PaginationError
from tests.support.api_callers import Caller
from tests.support.api_server import ApiServer, Received, Reply


def ticket(number: int) -> dict[str, Any]:
    return {"id": f"tkt_{number}", "workspace_id": "ws_1", "subject": "s", "status": "open"}


def page(*numbers: int, **pagination: Any) -> dict[str, Any]:
    last = {"hasMore": False}
    return {"data": [ticket(number) for number in numbers], "pagination": pagination or last}


@pytest.mark.parametrize(
    "following",
    [
        lambda cursor: {"cursor": cursor, "hasMore": True},
        lambda cursor: {"nextCursor": cursor, "hasMore": True},
        lambda cursor: {"next_cursor": cursor, "has_more": True},
        lambda cursor: {"cursor": "an echo", "nextCursor": cursor, "hasMore": True},
    ],
    ids=["cursor", "nextCursor", "next_cursor", "both"],
)
def test_a_list_goes_over_all_pages(
    server: ApiServer, caller: Caller, following: Callable[[str], dict[str, Any]]
) -> None:
    server.reply_json(page(1, 2, **following("a")), page(**following("b")), page(3))
    found = caller.collect("tickets.list", status="refunded", limit=2)
    assert [it.id for it in found] == ["tkt_1", "tkt_2", "tkt_3"]
    assert [sent.query for sent in server.received] == [
        {"status": "refunded", "limit": "2"},
        {"status": "refunded", "limit": "2", "cursor": "a"},
        {"status": "refunded", "limit": "2", "cursor": "b"},
    ]


def test_a_page_is_fetched_only_when_it_is_needed(server: ApiServer, caller: Caller) -> None:
    server.reply_json(page(1, 2, cursor="a", hasMore=True))
    found = caller.call("tickets.list_page")
    assert [it.id for it in found.data] == ["tkt_1", "tkt_2"]
    assert (found.cursor, found.has_more) == ("a", True)
    assert len(server.received) == 1


def test_the_last_page_has_no_cursor(server: ApiServer, caller: Caller) -> None:
    server.reply_json(page(1, cursor="left over", hasMore=False))
    assert caller.call("customers.list_page", limit=1).cursor is None


def test_a_list_can_begin_at_a_cursor(server: ApiServer, caller: Caller) -> None:
    server.reply_json(page(3))
    assert [it.id for it in caller.collect("customers.list", cursor="b")] == ["tkt_3"]
    assert server.received[0].query == {"limit": "100", "cursor": "b"}


def forever(*cursors: str) -> Callable[[Received], Reply]:
    """Pages whose cursors go round and round."""

    def answer(sent: Received) -> Reply:
        last = sent.query.get("cursor")
        following = cursors[(cursors.index(last) + 1) % len(cursors)] if last else cursors[0]
        return Reply(body=page(1, cursor=following, hasMore=True))

    return answer


@pytest.mark.parametrize("cursors", [("a",), ("a", "b"), ("a", "b", "c", "d")])
def test_pages_that_go_in_a_circle_raise(
    server: ApiServer, caller: Caller, cursors: tuple[str, ...]
) -> None:
    server.otherwise = forever(*cursors)
    with pytest.raises(PaginationError, match="cursor repeats"):
        caller.collect("tickets.list")
    assert len(server.received) == len(cursors) + 1


@pytest.mark.parametrize("name", ["tickets.list", "customers.list"])
def test_more_without_a_cursor_raises(server: ApiServer, caller: Caller, name: str) -> None:
    server.reply_json(page(1, hasMore=True))
    with pytest.raises(PaginationError, match="without a cursor"):
        caller.collect(name)


def test_one_page_that_leads_to_itself_raises_too(server: ApiServer, caller: Caller) -> None:
    server.reply(Reply(200, page(1, cursor="a", hasMore=True), {"x-request-id": "req_1"}))
    with pytest.raises(PaginationError, match="cursor repeats") as caught:
        caller.call("tickets.list_page", cursor="a")
    assert caught.value.request_id == "req_1"


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ([ticket(1)], "the answer is not an object"),
        ({"data": []}, "pagination is not an object"),
        ({"data": [], "pagination": {}}, "pagination.hasMore"),
        ({"data": [], "pagination": {"hasMore": 1}}, "pagination.hasMore"),
        ({"data": {}, "pagination": {"hasMore": False}}, "data is not a list"),
    ],
)
def test_what_is_not_a_page_says_what_it_lacks(
    server: ApiServer, caller: Caller, answer: Any, names: str
) -> None:
    server.reply_json(answer)
    with pytest.raises(APIResponseError, match=names):
        caller.call("tickets.list_page")


def test_an_item_that_cannot_be_understood_is_named_beside_the_others(
    server: ApiServer, caller: Caller
) -> None:
    server.reply_json({"data": [{"id": "t"}, ticket(1)], "pagination": {"hasMore": False}})
    found = caller.call("tickets.list_page")
    assert len(found.data) == 1
    (bad,) = found.unreadable
    assert (bad.id, "workspace_id: missing" in str(bad)) == ("t", True)


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ('{"a":', "}")])
def test_an_item_that_is_nested_too_deep_is_named_beside_the_others(
    server: ApiServer, caller: Caller, opened: str, closed: str
) -> None:
    bad = json.dumps(ticket(1) | {"customFields": {"notes": "]}[", "deep": "here"}})
    good = json.dumps(ticket(2) | {"customFields": {"notes": '{"['}})
    page = f'{{"data": [{bad}, {good}], "pagination": {{"hasMore": true, "cursor": "a"}}}}'
    deep = opened * 90_000 + "1" + closed * 90_000
    server.reply(Reply(200, page.replace('"here"', deep).encode()))
    found = caller.call("tickets.list_page")
    assert [(it.id, it.problem) for it in found.unreadable] == [("tkt_1", "nested too deep")]
    assert ([it.id for it in found.data], found.cursor) == (["tkt_2"], "a")
