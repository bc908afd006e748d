"""What people do to refunds: who, what for, and what they may not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    InvalidArgumentError,
    LeaseLostError,
    RefundStateError,
)
from dispatch_returns.refunds import actions, ledger
from dispatch_returns.refunds.adapter import Payment, PaymentRef, RefundStatus
from dispatch_returns.refunds.adapters.manual import ManualAdapter
from dispatch_returns.refunds.capabilities import Capabilities
from dispatch_returns.refunds.guard import GuardLimits, Hold, Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.transitions import RefundAction, State
from dispatch_returns.store import Store, audit_log
from dispatch_returns.store.switches import Switch
from tests.support.desk import Desk, facts, usd
from tests.support.stores import overwrite_refund

APPROVE = GuardLimits(approve_above={"USD": Decimal(10)})


@pytest.fixture
def waiting(desk: Desk) -> Desk:
    """A desk with a refund that waits for a second person."""
    desk.restart(APPROVE)
    assert desk.enter().reason == "approval_needed"
    return desk


def fail(desk: Desk, kind: ErrorKind, times: int = 1, call: Any = "refund") -> None:
    for _ in range(times):
        desk.fake.fail_next(AdapterError(kind, f"{kind} it said"), call=call)


def recorded(desk: Desk) -> list[tuple[str, str, str | None]]:
    with desk.store.read() as conn:
        return [(a.action, a.who, a.why) for a in audit_log.of_refund(conn, desk.only().id)]


# Who.


@pytest.mark.parametrize("who", ["", "  "])
@pytest.mark.parametrize(
    "act",
    [actions.cancel, actions.confirm, actions.retry, actions.approve],
    ids=lambda it: it.__name__,
)
def test_an_act_needs_a_name(waiting: Desk, act: Callable[..., Refund], who: str) -> None:
    given = {"facts": facts()} if act in {actions.retry, actions.approve} else {}
    with pytest.raises(InvalidArgumentError, match=r"^who: "):
        waiting.act(act, who=who, **given)
    assert recorded(waiting) == []
    assert waiting.only().reason == "approval_needed"


@pytest.mark.parametrize("act", [actions.cancel, actions.confirm, actions.retry, actions.approve])
def test_there_must_be_such_a_refund(desk: Desk, act: Callable[..., Refund]) -> None:
    given = {"facts": facts()} if act is actions.approve else {}
    with pytest.raises(RefundStateError, match="there is no refund rfd_0"):
        act(desk.service, "rfd_0", who="Ann", **given)


def test_an_act_is_recorded_with_who_and_why(waiting: Desk) -> None:
    waiting.act(actions.approve, facts=facts(), who="Ann", why="she called")
    assert recorded(waiting) == [("approve", "Ann", "she called")]


def test_an_act_that_is_refused_is_not_recorded(desk: Desk) -> None:
    desk.enter()
    with pytest.raises(RefundStateError):
        desk.act(actions.confirm)
    assert recorded(desk) == []


# Approve.


def test_an_approved_refund_is_paid(waiting: Desk) -> None:
    approved = waiting.act(actions.approve, facts=facts())
    assert (approved.state, approved.reason, approved.approved_by) == (
        State.REQUESTED,
        None,
        "Ann",
    )
    waiting.run(minutes=1)
    assert waiting.paid == [usd("149.00")]


def test_an_event_after_the_approval_changes_nothing(waiting: Desk) -> None:
    approved = waiting.act(actions.approve, facts=facts())
    assert waiting.enter() == approved


def test_another_amount_needs_another_approval(waiting: Desk) -> None:
    assert waiting.act(actions.approve, facts=facts(amount="148.00")).reason == "approval_needed"
    assert waiting.paid == []
    waiting.act(actions.approve, facts=facts(amount="148.00"))
    waiting.run(minutes=1)
    assert waiting.paid == [usd("148.00")]


def test_the_approval_is_kept_while_the_ticket_is_completed(waiting: Desk) -> None:
    row = waiting.act(actions.approve, facts=facts(received_date=None))
    assert (row.state, row.reason) == (State.HELD, "evidence_missing")
    waiting.enter()
    waiting.run(minutes=1)
    assert waiting.paid == [usd("149.00")]


def test_the_approval_is_for_one_payment(waiting: Desk) -> None:
    waiting.act(actions.approve, facts=facts())
    fail(waiting, ErrorKind.NOT_REFUNDABLE)
    waiting.step()
    for _ in range(2):
        row = waiting.enter(facts(payment_intent="pi_2"))
        assert (row.reason, row.approved_by) == ("approval_needed", None)
    assert waiting.enter().reason == "approval_needed"


def test_after_a_refusal_an_approved_refund_has_a_new_key(desk: Desk) -> None:
    fail(desk, ErrorKind.NOT_REFUNDABLE)
    desk.enter()
    desk.step()
    desk.restart(APPROVE)
    assert desk.enter(facts(amount="20.00")).reason == "approval_needed"
    desk.act(actions.approve, facts=facts(amount="20.00"))
    desk.run(minutes=1)
    assert (desk.keys, desk.paid) == (["g1", "g2"], [usd("20.00")])


def test_only_what_waits_for_an_approval_can_be_approved(desk: Desk) -> None:
    desk.enter(facts(amount=None))
    with pytest.raises(RefundStateError, match=r"does not wait .* held \(no_amount\)"):
        desk.act(actions.approve, facts=facts())


def test_a_canceled_refund_cannot_be_approved(waiting: Desk) -> None:
    waiting.act(actions.cancel)
    with pytest.raises(RefundStateError, match="does not wait for an approval"):
        waiting.act(actions.approve, facts=facts())


# Cancel.


def test_a_held_refund_can_be_canceled_and_events_do_not_revive_it(desk: Desk) -> None:
    desk.enter(facts(amount=None))
    desk.deliver()
    canceled = desk.act(actions.cancel)
    assert (canceled.state, canceled.due_at) == (State.CANCELED, None)
    assert (canceled.reason, canceled.detail) == ("refund_canceled", "Canceled by Ann.")
    assert len(desk.told("ticket")) == 2
    desk.enter()
    desk.run(days=2)
    assert (desk.only().state, desk.paid) == (State.CANCELED, [])
    assert desk.told("note")[-1].startswith("Refund canceled: Canceled by Ann. Nothing was paid.")


def test_a_refund_that_was_not_sent_can_be_canceled(desk: Desk) -> None:
    fail(desk, ErrorKind.NOT_SENT)
    desk.enter()
    desk.step()
    assert desk.act(actions.cancel, why="settled by voucher").due_at is None
    desk.run(days=2)
    assert (desk.only().state, desk.paid) == (State.CANCELED, [])
    assert recorded(desk) == [("cancel", "Ann", "settled by voucher")]


def test_a_worker_that_holds_a_canceled_refund_does_not_send_it(desk: Desk) -> None:
    desk.enter()
    (claimed,) = desk.service.claim(1)
    desk.act(actions.cancel)
    desk.service.advance(claimed)
    assert (desk.only().state, desk.fake.requests) == (State.CANCELED, [])


@pytest.mark.parametrize("fault", ["lost_response", None])
def test_what_was_sent_cannot_be_canceled(desk: Desk, fault: Any) -> None:
    if fault:
        desk.fake.fail_next(fault)
    desk.enter()
    desk.step()
    with pytest.raises(RefundStateError, match="only a refund of which nothing was sent"):
        desk.act(actions.cancel)


def test_what_may_have_been_sent_before_a_backup_cannot_be_canceled(desk: Desk) -> None:
    desk.cannot_tell()
    desk.enter(facts(payment_intent="pi_2"))
    with pytest.raises(RefundStateError) as caught:
        desk.act(actions.cancel)
    assert str(caught.value) == (
        f"{desk.only().id} is requested: only a refund of which nothing was sent can be canceled"
        " here. Cancel it at the processor."
    )


# Confirm.


@pytest.fixture
def by_hand(store: Store) -> Desk:
    """A desk whose refunds a person pays."""
    desk = Desk(store, ManualAdapter())
    desk.enter()
    desk.step()
    assert desk.only().state is State.PENDING
    assert desk.only().due_at is None
    return desk


def test_a_person_who_has_paid_confirms_it(by_hand: Desk) -> None:
    confirmed = by_hand.act(actions.confirm, reference="transfer 17", why="by hand")
    assert (confirmed.state, confirmed.processor_id) == (State.SUCCEEDED, "transfer 17")
    assert confirmed.due_at is None
    assert by_hand.calls() == ["refund pending", "confirm succeeded"]
    assert recorded(by_hand) == [("confirm", "Ann", "by hand")]


def test_without_a_reference_the_processors_number_stays(by_hand: Desk) -> None:
    number = by_hand.only().processor_id
    assert by_hand.act(actions.confirm).processor_id == number


def test_a_reference_that_another_refund_has_confirms_nothing(by_hand: Desk) -> None:
    first = by_hand.act(actions.confirm, reference="transfer 17")
    by_hand.enter(facts("tkt_2", payment_intent="pi_2"))
    by_hand.step()
    second = next(it for it in by_hand.refunds() if it.ticket_id == "tkt_2")
    with pytest.raises(RefundStateError, match=f"another refund, {first.id} .ticket tkt_1."):
        actions.confirm(by_hand.service, second.id, who="Ann", reference="transfer 17")


def test_what_is_paid_is_not_confirmed_twice(by_hand: Desk) -> None:
    by_hand.act(actions.confirm)
    with pytest.raises(RefundStateError, match="succeeded at manual: only a refund that a person"):
        by_hand.act(actions.confirm)


def test_a_processors_refund_is_not_confirmed_by_a_person(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.PENDING
    desk.enter()
    desk.step()
    with pytest.raises(RefundStateError, match="pending at fake"):
        desk.act(actions.confirm)
    desk.restart(adapters=ManualAdapter())
    with pytest.raises(RefundStateError, match="pending at fake"):
        desk.act(actions.confirm)


# Retry.


def test_a_held_refund_is_evaluated_again_from_its_ticket(desk: Desk) -> None:
    desk.enter(facts(amount=None))
    assert desk.retry(facts=facts(amount=None)).state is State.HELD
    assert desk.retry(facts=facts()).state is State.REQUESTED
    desk.run(minutes=1)
    assert (desk.paid, desk.keys) == ([usd("149.00")], ["g1"])
    assert [act for act, *_ in recorded(desk)] == ["retry", "retry"]


def test_a_refused_refund_gets_a_new_key(desk: Desk) -> None:
    fail(desk, ErrorKind.DISPUTED)
    desk.enter()
    desk.step()
    row = desk.retry(facts=facts())
    assert (row.generation, row.first_sent_at, row.sent_day, row.tries) == (2, None, None, 0)
    desk.run(minutes=1)
    assert (desk.keys, desk.paid) == (["g1", "g2"], [usd("149.00")])


def test_a_failed_refund_is_retried_by_a_person_and_not_by_events(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.FAILED
    desk.enter()
    desk.step()
    desk.enter()
    desk.run(days=2)
    assert desk.keys == ["g1"]
    desk.fake.first_status = RefundStatus.SUCCEEDED
    desk.retry(facts=facts())
    desk.run(minutes=1)
    row = desk.only()
    assert (row.state, row.processor_id, row.failure_reason) == (State.SUCCEEDED, "fake_2", None)
    assert (desk.keys, desk.paid) == (["g1", "g2"], [usd("149.00")])


def test_a_failed_refund_is_retried_with_the_amount_the_ticket_has_now(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.FAILED
    desk.enter()
    desk.step()
    desk.fake.first_status = RefundStatus.SUCCEEDED
    desk.retry(facts=facts(amount="100.00"))
    desk.run(minutes=1)
    assert desk.paid == [usd("100.00")]


def test_a_retry_after_a_restored_backup_finds_what_the_first_retry_paid(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.FAILED
    desk.enter()
    desk.step()
    backup = desk.only()
    desk.fake.first_status = RefundStatus.SUCCEEDED
    desk.retry(facts=facts(amount="50.00"))
    desk.run(days=2)

    of_then = {name: getattr(backup, name) for name in ("state", "generation", "first_sent_at")}
    desk.store.write("restore", lambda conn: overwrite_refund(conn, desk.only(), **of_then))
    desk.retry(facts=facts(amount="50.00"))
    desk.run(days=2)
    assert desk.only().state is State.SUCCEEDED
    assert desk.paid == [usd("50.00")]


def test_cancel_and_retry_is_no_way_around_the_second_person(waiting: Desk) -> None:
    waiting.act(actions.cancel)
    row = waiting.retry(facts=facts())
    assert (row.state, row.reason) == (State.HELD, "approval_needed")
    waiting.run(days=1)
    assert waiting.paid == []


def test_a_canceled_refund_without_a_payment_is_held_again(desk: Desk) -> None:
    desk.enter(facts(payment_intent=None))
    desk.act(actions.cancel)
    assert desk.retry(facts=facts(payment_intent=None)).reason == "no_payment"
    assert desk.step() == 0


def test_a_canceled_refund_can_be_retried(desk: Desk) -> None:
    desk.enter()
    desk.act(actions.cancel)
    desk.retry(facts=facts())
    desk.run(minutes=1)
    assert (desk.paid, desk.keys) == ([usd("149.00")], ["g1"])


def test_what_is_judged_anew_needs_its_ticket(desk: Desk) -> None:
    desk.enter(facts(amount=None))
    with pytest.raises(InvalidArgumentError, match=r"^facts: .* evaluated again from its ticket"):
        desk.retry()


@pytest.mark.parametrize("field", ["ticket_id", "workspace_id"])
def test_another_tickets_facts_are_refused(desk: Desk, field: str) -> None:
    desk.enter(facts(amount=None))
    other: Any = {field: "other"}
    with pytest.raises(InvalidArgumentError, match=r"^facts: .* belongs to another ticket"):
        desk.retry(facts=replace(facts(), **other))
    assert desk.only().state is State.HELD


def test_a_retry_that_comes_too_late_is_refused(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.enter(facts(amount=None))
    payment = desk.fake.payment

    def an_event_is_faster(ref: PaymentRef) -> Payment:
        monkeypatch.undo()
        desk.enter()
        desk.step()
        return payment(ref)

    monkeypatch.setattr(desk.fake, "payment", an_event_is_faster)
    with pytest.raises(RefundStateError, match="was succeeded meanwhile"):
        desk.retry(facts=facts())
    assert desk.paid == [usd("149.00")]


def test_an_act_needs_the_processor_to_say_how_the_payment_stands(desk: Desk) -> None:
    desk.enter(facts(amount=None))
    fail(desk, ErrorKind.AUTH, call="payment")
    with pytest.raises(AdapterError):
        desk.retry(facts=facts())
    assert (desk.only().state, recorded(desk)) == (State.HELD, [])


def test_a_waiting_refund_is_tried_at_once(desk: Desk) -> None:
    fail(desk, ErrorKind.NOT_SENT)
    desk.enter()
    desk.step()
    assert desk.step() == 0
    desk.retry()
    assert desk.step() == 1
    assert desk.only().state is State.SUCCEEDED


@pytest.mark.parametrize("status", ["succeeded", "pending", "requires_action"])
def test_what_is_paid_or_under_way_is_not_retried(desk: Desk, status: str) -> None:
    desk.fake.first_status = RefundStatus(status)
    desk.enter()
    desk.step()
    with pytest.raises(RefundStateError, match=f"is {status}: there is nothing to retry"):
        desk.retry(facts=facts())


def park(desk: Desk) -> None:
    """Leave a refund unknown, with a dead key."""
    desk.fake.fail_next("stored_500")
    desk.enter()
    desk.run(days=2)
    assert (desk.only().state, desk.only().due_at) == (State.UNKNOWN, None)


def test_an_unknown_refund_is_looked_up_again(desk: Desk) -> None:
    park(desk)
    hidden = desk.only()
    row = desk.retry()
    assert (row.state, row.reason, row.due_at) == (State.UNKNOWN, None, desk.clock())
    assert row.generation == hidden.generation
    desk.run(days=1)
    assert (desk.only().state, desk.only().reason) == (State.UNKNOWN, "outcome_unknown")
    assert (desk.paid, set(desk.keys)) == ([], {"g1"})


def test_only_a_persons_word_gives_an_unknown_refund_a_new_key(desk: Desk) -> None:
    park(desk)
    row = desk.retry(nothing_was_paid=True, why="not in the dashboard")
    assert (row.state, row.generation, row.first_sent_at) == (State.REQUESTED, 2, None)
    assert (row.reason, row.detail, row.tries, row.sent_day) == (None, None, 0, None)
    assert row.uncertain
    desk.run(minutes=1)
    assert desk.paid == [usd("149.00")]
    assert (desk.keys[-1], set(desk.keys)) == ("g2", {"g1", "g2"})


def test_a_person_who_is_wrong_is_not_believed_where_it_can_be_looked_up(desk: Desk) -> None:
    desk.fake.fail_next("stored_500_but_paid")
    fail(desk, ErrorKind.NOT_FOUND, call="find")
    desk.enter()
    desk.run(days=2)
    assert desk.only().due_at is None
    desk.retry(nothing_was_paid=True)
    desk.run(days=2)
    assert (desk.only().state, desk.only().generation) == (State.SUCCEEDED, 2)
    assert desk.paid == [usd("149.00")]


def test_without_look_ups_a_persons_word_counts(desk: Desk) -> None:
    desk.fake.capabilities = replace(desk.fake.capabilities, lookup=False)
    park(desk)
    assert not desk.retry(nothing_was_paid=True).uncertain
    desk.run(minutes=1)
    assert desk.paid == [usd("149.00")]


def test_while_it_is_looked_up_nobody_can_say_that_nothing_was_paid(desk: Desk) -> None:
    desk.fake.fail_next("lost_response")
    desk.enter()
    desk.step()
    with pytest.raises(RefundStateError, match="still being looked up"):
        desk.retry(nothing_was_paid=True)
    assert desk.only().generation == 1


def test_two_people_cannot_both_have_their_way(desk: Desk) -> None:
    desk.enter(facts(amount=None))
    row = desk.only()
    desk.act(actions.cancel)
    with pytest.raises(LeaseLostError):
        desk.store.write("late", lambda conn: ledger.take_over(conn, row, desk.clock(), tries=9))


def test_the_capabilities_of_the_manual_adapter_are_what_these_tests_rely_on() -> None:
    assert ManualAdapter.capabilities == Capabilities(
        key_lifetime=ManualAdapter.capabilities.key_lifetime, asynchronous=True, manual=True
    )


def test_a_hold_takes_back_an_approval_that_was_given_without_knowing(waiting: Desk) -> None:
    approved = waiting.act(actions.approve, facts=facts())
    assert (approved.approved_by, approved.approved_minor) == ("Ann", 14900)
    hold = Hold(Reason.REFUNDED_ELSEWHERE, "somebody paid it back")
    waiting.store.write(
        "hold",
        lambda conn: waiting.service.recorder.hold(
            conn, approved, hold, by=RefundAction.HOLD, keep_approval=False
        ),
    )
    row = waiting.only()
    assert (row.state, row.approved_by, row.approved_minor) == (State.HELD, None, None)


def test_an_approval_pays_a_disputed_payment_where_the_processor_allows_it(desk: Desk) -> None:
    """As with an inquiry, or a dispute that the merchant has accepted."""
    desk.fake.dispute("pi_1")
    held = desk.enter()
    assert (held.reason, desk.fake.requests) == ("disputed", [])
    actions.approve(desk.service, held.id, who="Ann", facts=facts())
    desk.step()
    assert (desk.only().state, desk.only().reason) == (State.HELD, "disputed")
    assert len(desk.fake.requests) == 1, "the processor was asked, and refused"


def test_an_approval_is_for_what_was_said_when_it_was_asked_for(desk: Desk) -> None:
    desk.restart(GuardLimits(approve_above={"USD": Decimal(100)}))
    held = desk.enter()
    desk.fake.dispute("pi_1")
    asked_again = actions.approve(desk.service, held.id, who="Ann", facts=facts())
    assert (asked_again.state, asked_again.reason) == (State.HELD, "disputed")
    assert "needs a second person" in (asked_again.detail or "")
    approved = actions.approve(desk.service, held.id, who="Ann", facts=facts())
    assert (approved.state, approved.approved_by) == (State.REQUESTED, "Ann")


@pytest.fixture
def refused(waiting: Desk) -> Desk:
    """A desk whose approved refund the processor refused for another reason."""
    waiting.act(actions.approve, facts=facts())
    fail(waiting, ErrorKind.INSUFFICIENT_BALANCE)
    waiting.step()
    assert waiting.only().reason == "insufficient_balance"
    return waiting


def again(desk: Desk, how: str) -> Refund:
    return desk.retry(facts=facts()) if how == "retry" else desk.enter()


@pytest.mark.parametrize("how", ["retry", "event"])
def test_an_approval_covers_no_dispute_that_came_later(refused: Desk, how: str) -> None:
    refused.fake.dispute("pi_1")
    held = again(refused, how)
    assert (held.state, held.reason, held.approved_by) == (State.HELD, "disputed", None)
    assert len(refused.fake.requests) == 1


@pytest.mark.parametrize("how", ["retry", "event"])
def test_an_approval_covers_no_refund_made_elsewhere_later(desk: Desk, how: str) -> None:
    desk.restart(APPROVE)
    asked = facts(amount="20.00", payment_intent="pi_2")
    desk.enter(asked)
    desk.act(actions.approve, facts=asked)
    fail(desk, ErrorKind.INSUFFICIENT_BALANCE)
    desk.step()
    desk.fake.refund_externally("pi_2", usd("5.00"))
    held = desk.retry(facts=asked) if how == "retry" else desk.enter(asked)
    assert (held.state, held.reason) == (State.HELD, "refunded_elsewhere")
    desk.act(actions.approve, facts=asked)
    desk.run(minutes=1)
    assert desk.paid == [usd("5.00"), usd("20.00")]


@pytest.mark.parametrize("how", ["retry", "event"])
def test_an_approval_still_covers_the_doubts_that_were_seen(refused: Desk, how: str) -> None:
    assert again(refused, how).state is State.REQUESTED
    refused.run(minutes=1)
    assert refused.paid == [usd("149.00")]


def test_an_approval_covers_what_is_left_of_the_doubts_that_were_seen(desk: Desk) -> None:
    desk.restart(APPROVE)
    desk.fake.dispute("pi_1")
    desk.enter()
    desk.act(actions.approve, facts=facts())
    desk.step()
    desk.restart(GuardLimits())
    assert again(desk, "retry").state is State.REQUESTED


def stop_approved(waiting: Desk) -> Desk:
    waiting.throw(Switch.KILL, is_on=True)
    waiting.act(actions.approve, facts=facts())
    waiting.run(hours=1)
    return waiting


def test_an_approved_refund_that_waits_for_the_switch_needs_no_second_approval(
    waiting: Desk,
) -> None:
    approved = stop_approved(waiting).only()
    assert waiting.enter() == approved
    waiting.throw(Switch.KILL, is_on=False)
    waiting.run(hours=1)
    assert waiting.paid == [usd("149.00")]


def test_an_approved_refund_that_waits_is_held_for_a_new_doubt(waiting: Desk) -> None:
    stop_approved(waiting).fake.dispute("pi_1")
    held = waiting.enter()
    assert (held.state, held.reason, held.approved_by) == (State.HELD, "disputed", None)
