"""A second ticket for the same payment, order and amount waits for a person."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest

from dispatch_returns.refunds import actions
from dispatch_returns.refunds.guard import GuardLimits
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.ticket_facts import Parcel, TicketFacts
from dispatch_returns.refunds.transitions import State
from tests.support.desk import Desk, facts, usd
from tests.support.stores import open_store
from tests.unit.refunds.test_whose_payment import Processor


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with open_store(tmp_path) as store:
        yield Desk(store)


def ask(ticket_id: str, **fields: object) -> TicketFacts:
    return facts(ticket_id, payment_intent="pi_2", **({"amount": "50.00"} | fields))


def enter(desk: Desk, asked: TicketFacts) -> Refund:
    row = desk.enter(asked)
    desk.step()
    return row


def test_a_second_ticket_for_the_same_money_waits(desk: Desk) -> None:
    enter(desk, ask("tkt_1"))
    second = enter(desk, ask("tkt_2", order_id="#1234"))
    assert (second.state, second.reason) == (State.HELD, "possible_duplicate")
    assert second.detail is not None
    assert second.detail.startswith("Ticket tkt_1 has a refund of the same payment")
    assert desk.paid == [usd("50.00")]


def test_an_approval_pays_both(desk: Desk) -> None:
    enter(desk, ask("tkt_1"))
    second = enter(desk, ask("tkt_2"))
    actions.approve(desk.service, second.id, who="Ann", facts=ask("tkt_2"))
    desk.step()
    assert desk.paid == [usd("50.00")] * 2


def test_waiting_a_day_makes_it_no_other_refund(desk: Desk) -> None:
    enter(desk, ask("tkt_1"))
    enter(desk, ask("tkt_2"))
    desk.clock.turn(hours=48)
    assert enter(desk, ask("tkt_2")).reason == "possible_duplicate"


def test_a_day_later_it_is_another_refund(desk: Desk) -> None:
    enter(desk, ask("tkt_1"))
    desk.clock.turn(hours=24, seconds=1)
    assert enter(desk, ask("tkt_2")).state is State.REQUESTED


@pytest.mark.parametrize("other", [{"amount": "50.01"}, {"order_id": "1235"}])
def test_another_amount_or_order_is_another_refund(desk: Desk, other: dict[str, str]) -> None:
    enter(desk, ask("tkt_1"))
    assert enter(desk, ask("tkt_2", **other)).state is State.REQUESTED


def test_parcels_of_one_ticket_are_no_duplicates(desk: Desk) -> None:
    for ordinal in (1, 2):
        enter(desk, replace(ask("tkt_1"), parcel=Parcel(ordinal)))
    assert desk.paid == [usd("50.00")] * 2


def test_what_was_never_paid_is_no_duplicate(desk: Desk) -> None:
    desk.restart(GuardLimits(max_refund={"USD": usd("10.00").major}))
    assert enter(desk, ask("tkt_1")).state is State.HELD
    desk.restart()
    assert enter(desk, ask("tkt_2")).state is State.REQUESTED
    assert enter(desk, ask("tkt_1")).reason == "possible_duplicate", "the other one is paid by now"


def test_a_charge_and_its_payment_intent_are_one_payment_here_too(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        desk = Desk(store, Processor(names={"ch_1": "pi_1", "pi_1": "ch_1"}))
        enter(desk, facts("tkt_1", "50.00"))
        by_charge = facts("tkt_2", "50.00", payment_intent=None, charge_id="ch_1")
        assert enter(desk, by_charge).reason == "possible_duplicate"


def test_of_two_at_once_in_two_workers_one_waits(desk: Desk) -> None:
    together = Barrier(2, timeout=20)

    def work(asked: TicketFacts) -> Refund:
        decision = desk.service.intake.evaluate(asked)
        together.wait()
        row = desk.store.write("enter", lambda conn: desk.service.intake.enter(conn, decision))
        assert row is not None
        return row

    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(work, (ask("tkt_1"), ask("tkt_2"))))
    assert sorted(it.state for it in found) == ["held", "requested"]
