"""Sending a refund in the very transaction that entered it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind, LeaseLostError
from dispatch_returns.refunds.guard import GuardLimits
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store
from tests.support.desk import Desk, facts


def enter_and_begin(desk: Desk) -> Refund | None:
    """Judge, enter and begin, as the event processor does: in one transaction."""
    service = desk.service
    decision = service.intake.evaluate(facts())
    return desk.store.write("event.done", lambda conn: service.enter(conn, decision)[1])


def test_a_refund_is_announced_with_its_entry_and_paid_once(desk: Desk) -> None:
    sending = enter_and_begin(desk)
    assert sending is not None
    row = desk.only()
    assert (row, row.state, row.first_sent_at) == (sending, State.SENDING, desk.clock.now)
    assert row.due_at == desk.clock.now + desk.schedule.lease
    assert row.claims == 0, "it was written as sending from the start"
    assert [(it.call, it.outcome) for it in desk.attempts()] == [("refund", "sent")]
    assert desk.fake.refunds == []
    desk.service.carry_out(sending)
    assert desk.only().state is State.SUCCEEDED
    assert len(desk.fake.refunds) == 1


def test_a_repeated_event_begins_nothing_while_the_first_one_is_under_way(desk: Desk) -> None:
    sending = enter_and_begin(desk)
    assert sending is not None
    assert enter_and_begin(desk) is None
    desk.service.carry_out(sending)
    assert enter_and_begin(desk) is None
    assert len(desk.fake.requests) == 1


def test_a_worker_that_had_claimed_the_row_is_fenced_off(desk: Desk) -> None:
    desk.enter()
    (claimed,) = desk.service.claim(10)
    desk.clock.turn(minutes=10)
    row = desk.only()
    sending = desk.store.write("event.done", lambda conn: desk.service.begin(conn, row))
    assert sending is not None
    desk.service.advance(claimed)
    assert desk.fake.requests == [], "the worker that was fenced off called all the same"
    desk.service.carry_out(sending)
    assert len(desk.fake.refunds) == 1


def test_a_row_that_a_worker_holds_is_left_to_it(desk: Desk) -> None:
    desk.enter()
    (claimed,) = desk.service.claim(10)
    assert enter_and_begin(desk) is None
    desk.service.advance(claimed)
    assert len(desk.fake.refunds) == 1


@pytest.mark.parametrize("late", [timedelta(0), timedelta(hours=1)])
def test_a_call_that_comes_after_its_lease_is_not_made(
    desk: Desk, caplog: pytest.LogCaptureFixture, late: timedelta
) -> None:
    caplog.set_level("INFO")
    sending = enter_and_begin(desk)
    assert sending is not None
    desk.clock.now += desk.schedule.lease + late
    with pytest.raises(LeaseLostError, match=f"lease of {sending.id} ended before the call"):
        desk.service._call(sending)
    desk.service.carry_out(sending)
    assert desk.fake.requests == []
    assert desk.only().state is State.SENDING
    assert caplog.messages == [f"refund {sending.id} was taken over by another worker"]


@pytest.mark.parametrize(
    ("limits", "state"),
    [
        (GuardLimits(kill_switch=True), State.REQUESTED),
        (GuardLimits(dry_run=True), State.HELD),
        (GuardLimits(max_per_day={"USD": Decimal(1)}), State.HELD),
        (GuardLimits(approve_above={"USD": Decimal(1)}), State.HELD),
    ],
)
def test_what_a_limit_stops_is_not_begun(desk: Desk, limits: GuardLimits, state: State) -> None:
    desk.restart(limits)
    assert enter_and_begin(desk) is None
    assert (desk.only().state, desk.fake.requests) == (state, [])


def test_what_may_have_been_paid_before_is_looked_up_by_a_worker(desk: Desk) -> None:
    desk.cannot_tell()
    assert enter_and_begin(desk) is None
    assert (desk.only().state, desk.only().uncertain) == (State.REQUESTED, True)


def test_what_waits_for_its_time_keeps_waiting(desk: Desk) -> None:
    limit = AdapterError(ErrorKind.RATE_LIMITED, "slow down", retry_after=60)
    desk.fake.fail_next(limit)
    sending = enter_and_begin(desk)
    assert sending is not None
    desk.service.carry_out(sending)
    assert enter_and_begin(desk) is None
    desk.clock.turn(minutes=2)
    assert enter_and_begin(desk) is None, "what has waited is looked for before it is sent"
    desk.step()
    assert desk.keys == ["g1", "g1"]


def test_another_adapters_row_is_not_begun(store: Store) -> None:
    desk = Desk(store)
    foreign = replace(desk.enter(), adapter="another")
    assert desk.store.write("x", lambda conn: desk.service.begin(conn, foreign)) is None
