from __future__ import annotations

from typing import get_args

import pytest

from dispatch_returns.cli.events import State
from dispatch_returns.clock import utc_now
from dispatch_returns.store import NewEvent, audit_log, inbox
from dispatch_returns.store.inbox import EventState
from tests.support.cli import Shop

LONG = "tkt_" + "0123456789abcdef" * 3


def test_a_list_needs_no_setting_but_the_database(shop: Shop) -> None:
    shop.event("tkt_1", "evt_a")
    said = shop.offline("events", "list")
    assert said.code == 0
    assert "tkt_1" in said.out
    assert "accepted" in said.out


def test_an_empty_list_says_so(shop: Shop) -> None:
    assert shop.offline("events", "list").out == "There are no such events.\n"
    assert shop.offline("events", "list", "--json").json == {"events": []}


def test_the_newest_come_first_and_no_more_than_asked_for(shop: Shop) -> None:
    for number in range(4):
        shop.event(f"tkt_{number}", f"evt_{number}")
    said = shop.offline("events", "list", "--limit", "2", "--json")
    assert [event["event_id"] for event in said.json["events"]] == ["evt_3", "evt_2"]


def test_a_list_can_be_of_one_ticket_or_one_state(shop: Shop) -> None:
    shop.event("tkt_1", "evt_a", "ticket.deleted")
    shop.event("tkt_2", "evt_b", "ticket.deleted")
    of_ticket = shop.offline("events", "list", "--ticket", "tkt_2", "--json")
    assert [event["event_id"] for event in of_ticket.json["events"]] == ["evt_b"]
    shop.work()
    assert shop.offline("events", "list", "--state", "accepted", "--json").json == {"events": []}
    assert len(shop.offline("events", "list", "--state", "done", "--json").json["events"]) == 2


def test_the_states_that_can_be_asked_for_are_those_there_are() -> None:
    assert set(get_args(State)) == set(EventState)


@pytest.mark.parametrize("arguments", [["--state", "lost"], ["--limit", "0"], ["--limit", "x"]])
def test_what_cannot_be_asked_for_is_a_usage_error(shop: Shop, arguments: list[str]) -> None:
    assert shop.offline("events", "list", *arguments).code == 2


def test_no_line_is_wider_than_the_terminal_and_ids_stay_whole(shop: Shop) -> None:
    shop.event(LONG, "evt_a", "ticket.something.very.long.happened.to.it")
    said = shop.offline("events", "list")
    assert max(map(len, said.out.splitlines())) <= 80
    assert LONG in said.out


def test_an_event_is_found_by_its_number_and_by_its_id(shop: Shop) -> None:
    number = shop.event("tkt_1", "evt_a")
    by_number = shop.offline("events", "show", str(number), "--json").json["event"]
    by_id = shop.offline("events", "show", "evt_a", "--json").json["event"]
    assert by_number == by_id
    assert by_id["ticket_id"] == "tkt_1"


def test_the_body_is_shown_only_when_it_is_asked_for(shop: Shop) -> None:
    shop.event("tkt_1", "evt_a")
    for form in ([], ["--json"]):
        assert "Ms Secret" not in shop.offline("events", "show", "evt_a", *form).out
        assert "Ms Secret" in shop.offline("events", "show", "evt_a", "--body", *form).out


def test_a_body_cannot_command_the_terminal(shop: Shop) -> None:
    body = b"\x1b]0;owned\x07 \xff [red]no[/red]"
    event = NewEvent("dispatch", "evt_a", "unreadable", None, None, body, None, readable=False)
    with shop.store() as store:
        store.write("inbox.accept", lambda conn: inbox.add(conn, event, utc_now()))
    said = shop.offline("events", "show", "evt_a", "--body")
    assert "\x1b" not in said.out
    assert r"\x1b]0;owned\x07 \xff [red]no[/red]" in said.out


@pytest.mark.parametrize("named", ["7", "evt_none", "", "-1", "9" * 40])
def test_an_event_that_is_not_there_is_one_sentence(shop: Shop, named: str) -> None:
    said = shop.offline("events", "show", "--", named)
    assert said.code == 1
    assert said.err.startswith(f"Error: there is no event {named}")


def test_an_id_that_two_senders_use_must_be_told_apart(shop: Shop) -> None:
    shop.event("tkt_1", "evt_a")
    event = NewEvent("stripe", "evt_a", "refund.updated", None, None, b"{}", None)
    with shop.store() as store:
        store.write("inbox.accept", lambda conn: inbox.add(conn, event, utc_now()))
    said = shop.offline("events", "show", "evt_a")
    assert said.code == 1
    assert "1 (dispatch), 2 (stripe)" in said.text


def test_a_replayed_event_is_dealt_with_again_and_pays_nothing_twice(shop: Shop) -> None:
    ticket = shop.ticket(payment_intent=shop.pay())
    refund = shop.refund(ticket)
    assert refund.state == "succeeded"
    said = shop.offline("events", "replay", f"evt_{ticket}", "--json")
    assert said.code == 0
    assert said.json["event"]["state"] == "accepted"
    shop.work()
    event = shop.offline("events", "show", f"evt_{ticket}", "--json").json["event"]
    assert event["state"] == "done"
    assert shop.row(ticket) == refund


def test_a_replay_is_recorded_with_who_and_why(shop: Shop) -> None:
    shop.event("tkt_1", "evt_a")
    assert shop.offline("events", "replay", "evt_a", "--by", " ").code == 2
    assert (
        shop.offline("events", "replay", "evt_a", "--by", "Ann", "--why", "a new field").code == 0
    )
    assert shop.offline("events", "replay", "evt_a").code == 0
    second, first = shop.offline("audit-log", "--json").json["actions"]
    assert (first["action"], first["who"], first["why"]) == ("replay", "Ann", "a new field")
    assert (first["subject"], first["refund_id"]) == ("event evt_a", None)
    assert second["who"], "who does not say, is known by the login name"


def test_an_event_that_fails_for_ever_is_given_up_with_who_and_why(shop: Shop) -> None:
    shop.event("tkt_1", "evt_a")
    assert shop.offline("events", "discard", "evt_a", "--by", "Ann").code == 2
    said = shop.offline("events", "discard", "evt_a", "--by", "Ann", "--why", "no such ticket")
    assert said.code == 0
    listed = shop.offline("events", "list", "--state", "discarded", "--json").json["events"]
    assert [event["event_id"] for event in listed] == ["evt_a"]
    lag = shop.offline("health", "--json").json
    assert (lag["oldest_event_seconds"], lag["events_set_aside"]) == (0.0, {"discarded": 1})
    with shop.store() as store, store.read() as conn:
        (given_up,) = audit_log.newest(conn, limit=1)
    assert (given_up.action, given_up.who, given_up.why) == ("discard", "Ann", "no such ticket")
