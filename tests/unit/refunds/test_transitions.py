"""No other move than those of the table is made, whoever wants it and whatever runs at once."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
from sqlalchemy import Connection

from dispatch_returns.errors import LeaseLostError, TransitionError
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.transitions import (
    ACCEPTED,
    TRANSITIONS,
    UNPAID,
    RefundAction,
    State,
)
from tests.support.desk import Desk, facts
from tests.support.stores import overwrite_refund

EVERY_MOVE = list(product([None, *State], State, RefundAction))


def put(desk: Desk, state: State) -> Refund:
    """Let the one refund there is be in `state`."""
    row = desk.enter()
    desk.store.write("test", lambda conn: overwrite_refund(conn, row, state=state))
    return desk.only()


def move(desk: Desk, row: Refund, state: State, by: RefundAction, *, new_key: bool = False) -> None:
    desk.store.write(
        "test",
        lambda conn: ledger.move(conn, row, desk.clock(), state, by=by, new_key=new_key),
    )


@pytest.mark.parametrize("state", sorted(set(State) - UNPAID - {State.REQUESTED}))
def test_a_refund_that_may_be_paid_is_not_checked_again(desk: Desk, state: State) -> None:
    """A paid row would be sent once more, under a new key."""
    row = put(desk, state)
    decision = desk.service.intake.evaluate(facts())
    with pytest.raises(TransitionError, match=f"{row.id}.* from {state} to .*'checked again'"):
        desk.store.write(
            "test", lambda conn: desk.service.intake.evaluate_again(conn, row, decision)
        )
    assert desk.only() == row


def test_a_move_that_is_not_in_the_table_writes_nothing(desk: Desk) -> None:
    row = put(desk, State.SUCCEEDED)
    with pytest.raises(TransitionError, match=r"from succeeded to requested by 'postponed'"):
        move(desk, row, State.REQUESTED, RefundAction.POSTPONE)
    assert desk.only() == row


def test_a_new_key_needs_a_move_that_allows_one(desk: Desk) -> None:
    row = put(desk, State.REQUESTED)
    with pytest.raises(TransitionError, match="with a new idempotency key"):
        move(desk, row, State.SENDING, RefundAction.CALL, new_key=True)
    assert desk.only().idempotency_key == row.idempotency_key


def test_a_refused_refund_takes_a_new_key(desk: Desk) -> None:
    row = put(desk, State.FAILED)
    move(desk, row, State.REQUESTED, RefundAction.CHECK, new_key=True)
    assert desk.only().idempotency_key == f"{row.id}-g2"


def test_only_a_refusal_or_a_persons_word_leads_to_a_new_key() -> None:
    given = {
        (source, by)
        for source, target, by in EVERY_MOVE
        if TRANSITIONS.allows(source, target, by, new_key=True)
    }
    assert given == {(state, RefundAction.CHECK) for state in UNPAID} | {
        (State.UNKNOWN, RefundAction.DENY),
        (State.SENDING, RefundAction.DEFER),
    }


def test_nothing_but_the_processor_or_a_person_says_that_a_refund_is_paid_or_failed() -> None:
    says = {
        by
        for source, target, by in EVERY_MOVE
        if target in ACCEPTED | {State.FAILED} and TRANSITIONS.allows(source, target, by)
    }
    assert says == {
        RefundAction.ANSWER,
        RefundAction.FIND,
        RefundAction.REPORT,
        RefundAction.ADOPT,
        RefundAction.CONFIRM,
    }


def test_an_accepted_refund_is_never_sent_again_without_its_processors_word() -> None:
    """From there only the processor's word, or the loss of it, leads on."""
    leads_on = {
        (by, target)
        for source, target, by in EVERY_MOVE
        if source in ACCEPTED and TRANSITIONS.allows(source, target, by)
    }
    assert not {target for _, target in leads_on} & {State.REQUESTED, State.SENDING, State.HELD}


@pytest.mark.parametrize("source", State)
def test_every_state_but_the_new_ones_can_be_reached_and_left(source: State) -> None:
    assert any(TRANSITIONS.allows(it, source, by) for it in [None, *State] for by in RefundAction)
    assert any(TRANSITIONS.allows(source, it, by) for it in State for by in RefundAction)


def test_every_action_of_the_table_is_known_and_used() -> None:
    assert {it.by for it in TRANSITIONS.all} == set(RefundAction)


@pytest.mark.parametrize(
    "late",
    [
        lambda conn, row, now: ledger.change(conn, row, now, tries=9),
        lambda conn, row, now: ledger.take_over(conn, row, now, tries=9),
        lambda conn, row, now: ledger.move(conn, row, now, State.CANCELED, by=RefundAction.CANCEL),
    ],
)
def test_a_row_that_is_in_another_state_by_now_is_not_changed(
    desk: Desk, late: Callable[[Connection, Refund, object], Refund]
) -> None:
    """Even where no fence was counted up: the state is part of the statement."""
    row = desk.enter()
    desk.store.write("test", lambda conn: overwrite_refund(conn, row, state=State.SENDING))
    with pytest.raises(LeaseLostError, match=f"{row.id} was claimed by another worker, or has"):
        desk.store.write("late", lambda conn: late(conn, row, desk.clock()))
    assert (desk.only().state, desk.only().tries) == (State.SENDING, 0)
