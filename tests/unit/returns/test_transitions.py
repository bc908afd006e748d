"""No other move than those of the tables is made, of returns and of their labels."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import product
from pathlib import Path

import pytest
from sqlalchemy import Connection

import dispatch_sandbox
from dispatch_returns.errors import LeaseLostError, TransitionError
from dispatch_returns.returns import label_records, records
from dispatch_returns.returns.label_records import LabelAction, LabelState
from dispatch_returns.returns.records import Return
from dispatch_returns.returns.steps.labelling import Labelling
from dispatch_returns.returns.steps.plan import Move, Plan, Situation
from dispatch_returns.returns.steps.terms import ReturnTerms
from dispatch_returns.returns.transitions import BEGINS, TRANSITIONS, ReturnAction, Step
from dispatch_returns.store import Store
from tests.support.desk import NOW
from tests.support.returns_shop import ReturnsShop
from tests.support.store_contract import enter
from tests.support.stores import overwrite_return

LATER = NOW + timedelta(hours=1)


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[ReturnsShop]:
    shop = ReturnsShop(box, tmp_path)
    yield shop
    shop.close()


def claimed(any_store: Store) -> Return:
    any_store.write("enter", enter)
    (row,) = any_store.write(
        "claim", lambda conn: records.claim(conn, NOW, timedelta(minutes=3), 9)
    )
    return row


@pytest.mark.parametrize("step", sorted(set(Step) - BEGINS))
def test_no_return_begins_where_it_ends(any_store: Store, step: Step) -> None:
    with pytest.raises(TransitionError, match=f"from new to {step} by 'entered'"):
        any_store.write("enter", lambda conn: enter(conn, step=step))


def test_a_step_that_is_left_out_is_not_written(any_store: Store) -> None:
    row = claimed(any_store)
    to = (Step.REFUNDED, ReturnAction.REFUND)
    for write in (
        lambda conn: records.change(conn, row, NOW, LATER, to=to, error="late"),
        lambda conn: records.release(conn, row, NOW, None, to=to, error="late"),
    ):
        with pytest.raises(TransitionError, match=f"{row.id}.* return_requested to refunded"):
            any_store.write("late", write)
    with any_store.read() as conn:
        assert records.get(conn, row.id) == row


def test_a_return_that_is_at_another_step_by_now_is_not_moved(any_store: Store) -> None:
    row = claimed(any_store)
    any_store.write("test", lambda conn: overwrite_return(conn, row.id, step=Step.REVIEW))
    to = (Step.CHECK, ReturnAction.TAKE_UP)
    with pytest.raises(LeaseLostError):
        any_store.write("late", lambda conn: records.release(conn, row, NOW, None, to=to))


def test_we_refund_only_what_was_received_or_need_not_be_sent_back() -> None:
    ours = set(ReturnAction) - {ReturnAction.SET}
    sources = {
        source
        for source, by in product([None, *Step], ours)
        if TRANSITIONS.allows(source, Step.REFUNDED, by)
    }
    assert sources == {Step.RECEIVED, Step.APPROVED}


def test_a_person_may_set_any_step_and_nobody_but_the_api_says_that_a_ticket_is_gone() -> None:
    for source, target in product(Step, set(Step) - {Step.GONE}):
        assert TRANSITIONS.allows(source, target, ReturnAction.SET)
    gone = {by for by in ReturnAction if TRANSITIONS.allows(Step.APPROVED, Step.GONE, by)}
    assert gone == {ReturnAction.DELETE}


def test_a_label_is_bought_only_where_the_store_says_so_before() -> None:
    moves = {
        (source, by)
        for source, by in product([None, *LabelState], LabelAction)
        if label_records.TRANSITIONS.allows(source, LabelState.BOUGHT, by)
    }
    assert moves == {
        (LabelState.BUYING, LabelAction.BOUGHT),
        (LabelState.UNKNOWN, LabelAction.BOUGHT),
    }


def test_what_may_have_been_bought_is_never_wanted_anew() -> None:
    for by in LabelAction:
        assert not label_records.TRANSITIONS.allows(LabelState.UNKNOWN, LabelState.WANTED, by)


def test_a_label_that_may_not_go_there_stays_as_it_is(any_store: Store) -> None:
    def write(conn: Connection) -> None:
        row = enter(conn)
        label = label_records.want(conn, row.id, 1, NOW, provider="pdf")
        with pytest.raises(TransitionError, match=f"{label.id}.* from wanted to bought"):
            label_records.move(conn, label, NOW, LabelState.BOUGHT, by=LabelAction.BOUGHT)
        assert label_records.get(conn, label.id) == label

    any_store.write("test", write)


def test_a_step_that_plans_an_illegal_move_is_left_to_a_person(
    shop: ReturnsShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refund(self: Labelling, now: Situation, terms: ReturnTerms) -> Plan:
        return Plan(move=Move(Step.EXPIRED, ReturnAction.REFUND))

    monkeypatch.setattr(Labelling, "send", refund)
    ticket = shop.ask()
    assert shop.status(ticket) == "needs_review"
    assert any("from approved to expired by 'accepted'" in note for note in shop.notes(ticket))
