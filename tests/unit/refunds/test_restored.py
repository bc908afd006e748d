"""A row of an old backup: it was paid after the backup was made, and the store does not know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds import actions
from dispatch_returns.refunds.adapter import PaymentRef, RefundRequest
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store.switches import Switch
from tests.support.desk import Desk, facts, usd

KEYS_DIE = {"days": 40}


def paid_elsewhere(desk: Desk) -> None:
    """Pay the one row as the store's lost future did: with its key, and without the store."""
    row = desk.only()
    assert row.payment is not None
    assert row.amount is not None
    desk.fake.refund(
        RefundRequest(
            refund_id=row.id,
            idempotency_key=row.idempotency_key,
            payment=PaymentRef(**row.payment),
            amount=row.amount,
            workspace_id=row.workspace_id,
            ticket_id=row.ticket_id,
            order_id=row.order_id,
            instructions_email=row.instructions_email,
        )
    )


def under_the_kill_switch(desk: Desk) -> None:
    desk.throw(Switch.KILL, is_on=True)
    desk.enter(facts(amount="50.00"))
    desk.step()


def after_a_429(desk: Desk) -> None:
    desk.fake.fail_next(AdapterError(ErrorKind.RATE_LIMITED, "slow down"))
    desk.enter(facts(amount="50.00"))
    desk.step()


@pytest.mark.parametrize("backed_up", [under_the_kill_switch, after_a_429])
def test_a_restored_backup_pays_no_partial_refund_twice(
    desk: Desk, backed_up: Callable[[Desk], None]
) -> None:
    backed_up(desk)
    assert desk.only().state is State.REQUESTED
    paid_elsewhere(desk)
    desk.clock.turn(**KEYS_DIE)
    desk.throw(Switch.KILL, is_on=False)
    desk.run(hours=1)
    assert [it.amount for it in desk.fake.refunds] == [usd("50.00")]
    assert desk.only().state is State.SUCCEEDED


def test_where_the_processor_cannot_be_asked_a_person_looks(desk: Desk) -> None:
    cannot_look(desk)
    under_the_kill_switch(desk)
    desk.clock.turn(**KEYS_DIE)
    desk.throw(Switch.KILL, is_on=False)
    desk.run(hours=1)
    assert (desk.only().state, desk.only().reason) == (State.UNKNOWN, "outcome_unknown")
    assert desk.fake.refunds == []
    desk.retry(nothing_was_paid=True)
    desk.step()
    assert desk.only().state is State.SUCCEEDED


def test_a_key_that_the_processor_still_knows_needs_no_look(desk: Desk) -> None:
    cannot_look(desk)
    under_the_kill_switch(desk)
    desk.clock.turn(hours=10)
    desk.throw(Switch.KILL, is_on=False)
    desk.run(hours=1)
    assert desk.only().state is State.SUCCEEDED


@pytest.mark.parametrize("passed", [{"hours": 13}, {"hours": -1}])
def test_where_nothing_can_be_looked_up_the_clock_alone_proves_no_key(
    desk: Desk, passed: dict[str, float]
) -> None:
    """Half of a key's life is trusted, and none of it where the clock was put back."""
    cannot_look(desk)
    under_the_kill_switch(desk)
    desk.throw(Switch.KILL, is_on=False)
    desk.clock.turn(minutes=2)
    (waited,) = desk.service.claim(1)
    desk.clock.turn(**passed)
    desk.service.advance(waited)
    assert (desk.only().state, desk.only().reason) == (State.UNKNOWN, "outcome_unknown")
    assert desk.fake.refunds == []


@pytest.mark.parametrize("backed_up", [under_the_kill_switch, after_a_429])
def test_an_event_that_is_faster_than_the_worker_pays_nothing_twice(
    desk: Desk, backed_up: Callable[[Desk], None]
) -> None:
    backed_up(desk)
    paid_elsewhere(desk)
    desk.clock.turn(**KEYS_DIE)
    desk.throw(Switch.KILL, is_on=False)
    decision = desk.service.intake.evaluate(facts(amount="50.00"))
    _, sending = desk.store.write("event.done", lambda conn: desk.service.enter(conn, decision))
    if sending is not None:
        desk.service.carry_out(sending)
    desk.run(hours=1)
    assert [it.amount for it in desk.fake.refunds] == [usd("50.00")]


def test_what_is_sent_at_the_moment_it_is_entered_is_not_looked_for(desk: Desk) -> None:
    desk.enter()
    desk.step()
    assert desk.calls() == ["refund succeeded"]


def test_a_look_that_fails_for_a_day_says_that_nothing_was_paid(desk: Desk) -> None:
    under_the_kill_switch(desk)
    for _ in range(100):
        desk.fake.fail_next(AdapterError(ErrorKind.NOT_SENT, "away"), call="find")
    desk.throw(Switch.KILL, is_on=False)
    desk.run(hours=30)
    assert (desk.only().state, desk.only().reason) == (State.HELD, "unreachable")


def test_a_dry_run_stays_held_until_a_person_retries(desk: Desk) -> None:
    desk.throw(Switch.DRY_RUN, is_on=True)
    desk.enter()
    desk.step()
    desk.throw(Switch.DRY_RUN, is_on=False)
    desk.enter()  # an event about the ticket, whatever it says
    desk.run(hours=1)
    assert (desk.only().state, desk.only().reason) == (State.HELD, "dry_run")
    desk.act(actions.retry, facts=facts())
    desk.run(hours=1)
    assert desk.only().state is State.SUCCEEDED


def cannot_look(desk: Desk) -> None:
    """Let the processor be one that nobody can ask for its refunds."""
    desk.fake.capabilities = replace(desk.fake.capabilities, lookup=False)
