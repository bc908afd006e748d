"""The limits that hold at the last moment: kill switch, dry run, caps, a second person."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds.guard import GuardLimits
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store.switches import Switch
from tests.support.desk import NOW, Desk, facts, usd

KILL = GuardLimits(kill_switch=True)
DRY = GuardLimits(dry_run=True)


def per_day(amount: int) -> GuardLimits:
    return GuardLimits(max_per_day={"USD": Decimal(amount)})


# The kill switch.


def test_with_the_kill_switch_on_nothing_is_sent_and_nothing_is_lost(desk: Desk) -> None:
    desk.restart(KILL)
    desk.enter()
    desk.run(hours=1)
    row = desk.only()
    assert (row.state, row.detail, row.tries) == (State.REQUESTED, "the kill switch is on", 0)
    assert row.due_at == NOW + timedelta(hours=1, minutes=1)
    assert (desk.fake.requests, desk.attempts(), desk.messages()) == ([], [], [])
    desk.restart()
    desk.run(minutes=1)
    assert desk.only().state is State.SUCCEEDED
    assert desk.only().detail is None
    assert desk.paid == [usd("149.00")]


def test_a_switch_thrown_while_it_runs_stops_the_next_payment(desk: Desk) -> None:
    desk.throw(Switch.KILL, is_on=True)
    desk.enter()
    desk.run(hours=1)
    assert (desk.only().state, desk.only().detail) == (State.REQUESTED, "the kill switch is on")
    assert desk.fake.requests == []
    desk.throw(Switch.KILL, is_on=False)
    desk.run(minutes=1)
    assert desk.paid == [usd("149.00")]


def test_a_row_left_in_sending_is_not_sent_again_while_the_switch_is_on(desk: Desk) -> None:
    desk.fake.fail_next("lost_response")
    desk.enter()
    row = desk.only()
    desk.store.write("died", lambda conn: desk.service.begin(conn, row))
    desk.throw(Switch.KILL, is_on=True)
    desk.run(hours=1)
    assert (desk.only().state, desk.fake.requests) == (State.SENDING, [])
    desk.throw(Switch.KILL, is_on=False)
    desk.run(minutes=2)
    assert desk.paid == [usd("149.00")]


def test_dry_run_can_be_switched_on_while_it_runs(desk: Desk) -> None:
    desk.throw(Switch.DRY_RUN, is_on=True)
    desk.enter()
    desk.step()
    assert (desk.only().state, desk.only().reason) == (State.HELD, "dry_run")
    desk.throw(Switch.DRY_RUN, is_on=False)
    desk.retry(facts=facts())
    desk.step()
    assert desk.paid == [usd("149.00")]


def test_the_kill_switch_stops_what_is_unknown_too_but_still_looks(desk: Desk) -> None:
    desk.fake.fail_next(AdapterError(ErrorKind.UNKNOWN_OUTCOME, "silence"))
    desk.enter()
    desk.step()
    desk.restart(KILL)
    desk.run(hours=1)
    assert (desk.only().state, len(desk.keys)) == (State.UNKNOWN, 1)
    desk.restart()
    desk.run(minutes=1)
    assert desk.paid == [usd("149.00")]


def test_the_kill_switch_lets_a_payment_be_found(desk: Desk) -> None:
    desk.fake.fail_next("lost_response")
    desk.enter()
    desk.step()
    desk.restart(KILL)
    desk.run(minutes=1)
    assert desk.only().state is State.SUCCEEDED


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"amount": "20.00"}, "changed_meanwhile"),
        ({"payment_intent": "pi_2"}, "changed_meanwhile"),
        ({"amount": None}, "no_amount"),
        ({"received_date": None}, "evidence_missing"),
        ({"payment_intent": None}, "no_payment"),
    ],
)
def test_a_ticket_corrected_before_it_was_sent_is_not_paid_as_it_was(
    desk: Desk, changes: dict[str, Any], reason: str
) -> None:
    desk.restart(KILL)
    desk.enter()
    desk.step()
    desk.enter(facts(**changes))
    desk.restart()
    desk.run(hours=1)
    assert (desk.only().state, desk.only().reason) == (State.HELD, reason)
    assert (desk.paid, len(desk.told("note"))) == ([], 1)
    desk.enter(facts())
    desk.run(hours=1)
    assert (desk.paid, desk.keys) == ([usd("149.00")], ["g1"])


def test_a_ticket_corrected_while_the_processor_is_out_of_reach_is_held_too(desk: Desk) -> None:
    for _ in range(2):
        desk.fake.fail_next(AdapterError(ErrorKind.NOT_SENT, "no connection"))
    desk.enter()
    desk.step()
    desk.enter(facts(amount="20.00"))
    desk.run(hours=1)
    assert desk.only().detail == "The ticket was changed before the refund of 149.00 USD was sent."
    assert desk.paid == []
    desk.enter(facts(amount="20.00"))
    desk.run(hours=1)
    assert (desk.paid, desk.keys) == ([usd("20.00")], ["g1", "g2", "g2"])


def test_events_that_say_the_same_again_change_nothing(desk: Desk) -> None:
    desk.restart(KILL)
    before = desk.enter()
    assert desk.enter(facts(), facts(order_id="1235"), facts()) == before
    assert desk.messages() == []


# Dry run.


def test_a_dry_run_sends_nothing_and_tells_the_ticket_nothing(desk: Desk) -> None:
    desk.restart(DRY)
    desk.enter()
    desk.run(days=2)
    row = desk.only()
    assert (row.state, row.reason) == (State.HELD, "dry_run")
    assert (row.detail, row.amount) == ("149.00 USD would have been paid.", usd("149.00"))
    assert (desk.fake.requests, desk.messages()) == ([], [])
    desk.restart()
    desk.retry(facts=facts())
    desk.run(minutes=1)
    assert desk.paid == [usd("149.00")]


def test_a_dry_run_that_begins_after_the_entry_sends_nothing_either(desk: Desk) -> None:
    desk.enter()
    desk.restart(DRY)
    desk.run(days=2)
    assert (desk.only().state, desk.only().reason) == (State.HELD, "dry_run")
    assert desk.only().detail == "149.00 USD would have been paid."
    assert (desk.fake.requests, desk.messages()) == ([], [])


def test_a_dry_run_still_finds_what_was_sent_before_it(desk: Desk) -> None:
    desk.fake.fail_next(AdapterError(ErrorKind.UNKNOWN_OUTCOME, "silence"))
    desk.enter()
    desk.step()
    desk.restart(DRY)
    desk.run(minutes=1)
    assert desk.only().state is State.SUCCEEDED, "it may have been carried out: ask again"


# The cap per refund.


def test_the_cap_per_refund_holds_on_entry(desk: Desk) -> None:
    desk.restart(GuardLimits(max_refund={"USD": Decimal(100)}))
    desk.enter()
    assert (desk.only().state, desk.only().reason) == (State.HELD, "over_cap")
    desk.enter(facts(amount="100.00"))
    desk.run(minutes=1)
    assert desk.paid == [usd("100.00")]


# The cap per day.


def enter_many(desk: Desk, *amounts: str) -> None:
    """Enter refunds of these amounts, each with a ticket and a payment of its own."""
    for amount in amounts:
        number = len(desk.refunds())
        desk.fake.add_payment(f"pi_t{number}", usd("500.00"))
        desk.enter(facts(f"tkt_{number:02}", amount, payment_intent=f"pi_t{number}"))


def pay_each(desk: Desk, *amounts: str) -> None:
    """Enter refunds of these amounts, and take each a step further before the next."""
    for amount in amounts:
        enter_many(desk, amount)
        desk.step()


def states(desk: Desk) -> list[State]:
    return [r.state for r in sorted(desk.refunds(), key=lambda r: r.ticket_id)]


PAID, HELD = State.SUCCEEDED, State.HELD


def test_the_cap_per_day_counts_what_was_sent_and_begins_anew_at_midnight(desk: Desk) -> None:
    desk.restart(per_day(100))
    pay_each(desk, "60.00", "41.00", "40.00")
    assert states(desk) == [PAID, HELD, PAID]
    held = next(r for r in desk.refunds() if r.state is HELD)
    assert (held.reason, held.sent_day, held.first_sent_at) == ("over_day_cap", None, None)
    assert held.due_at is None
    assert held.detail == (
        "41.00 USD would bring today's refunds to 101.00 USD; the cap per day is 100."
    )
    desk.clock.turn(hours=12)
    desk.enter(facts("tkt_01", "41.00", payment_intent="pi_t1"))
    desk.run(minutes=1)
    assert states(desk) == [PAID, PAID, PAID]
    assert set(desk.keys) == {"g1"}


def test_a_refund_that_was_looked_up_first_counts_as_well(desk: Desk) -> None:
    desk.restart(per_day(100))
    desk.cannot_tell()
    assert desk.enter(facts(payment_intent="pi_2")).uncertain
    desk.run(minutes=1)
    assert (desk.only().state, desk.only().reason) == (State.HELD, "over_day_cap")


def test_what_was_refused_does_not_count(desk: Desk) -> None:
    desk.restart(per_day(100))
    desk.fake.fail_next(AdapterError(ErrorKind.NOT_REFUNDABLE, "no"))
    pay_each(desk, "60.00", "100.00", "0.01")
    assert states(desk) == [HELD, PAID, HELD]


def test_what_is_unknown_counts(desk: Desk) -> None:
    desk.restart(per_day(100))
    desk.fake.fail_next("lost_response")
    pay_each(desk, "60.00", "60.00")
    assert states(desk) == [State.UNKNOWN, HELD]
    desk.run(minutes=1)
    assert states(desk) == [PAID, HELD]


def test_a_refund_sent_after_midnight_counts_for_the_new_day(desk: Desk) -> None:
    desk.restart(per_day(100))
    desk.clock.now = NOW + timedelta(hours=11, minutes=59, seconds=58)
    desk.fake.fail_next(AdapterError(ErrorKind.NOT_SENT, "no connection"))
    pay_each(desk, "60.00")
    assert desk.only().sent_day == "2024-01-15"
    desk.clock.turn(seconds=3)
    pay_each(desk, "60.00")
    assert states(desk) == [State.REQUESTED, PAID]
    desk.run(minutes=1)
    assert states(desk) == [HELD, PAID]


def test_a_refund_is_not_counted_twice_when_it_is_sent_again(desk: Desk) -> None:
    desk.restart(per_day(60))
    desk.fake.fail_next(AdapterError(ErrorKind.NOT_SENT, "no connection"))
    enter_many(desk, "60.00")
    desk.run(minutes=1)
    assert states(desk) == [PAID]


def test_other_currencies_have_caps_of_their_own(desk: Desk) -> None:
    desk.restart(GuardLimits(max_per_day={"USD": Decimal(100), "EUR": Decimal(100)}))
    pay_each(desk, "100.00")
    desk.store.write(
        "euro", lambda conn: conn.exec_driver_sql("UPDATE ledger SET currency = 'EUR'")
    )
    pay_each(desk, "100.00", "0.01")
    assert states(desk) == [PAID, PAID, HELD]


def test_a_race_of_eight_threads_reaches_the_cap_exactly(desk: Desk) -> None:
    desk.restart(per_day(100))
    enter_many(desk, *["10.00"] * 16)
    claimed = desk.service.claim(100)
    together = Barrier(8)

    def run(number: int) -> None:
        together.wait(10)
        for refund in claimed[number::8]:
            desk.service.advance(refund)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    assert len(desk.paid) == 10
    assert sorted(states(desk)) == sorted([PAID] * 10 + [HELD] * 6)
