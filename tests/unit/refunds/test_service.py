"""A refund on its way when the processor answers: sending, polling, what is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from dispatch_returns.errors import AdapterError, ErrorKind, UnsupportedFeatureError
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.adapter import PaymentRef, RefundRequest, RefundResult, RefundStatus
from dispatch_returns.refunds.transitions import RefundAction, State
from dispatch_returns.testing import FakeAdapter
from tests.support.desk import EMAIL, NOW, Desk, facts, schedule, usd

SENT = "Your refund of 149.00 USD was sent to your original payment method."
ON_ITS_WAY = "Your refund of 149.00 USD is on its way to your original payment method."


def result_of(desk: Desk, **changes: object) -> None:
    """Let what the processor has be something else."""
    (name, made), *_ = desk.fake._made.items()
    desk.fake._made[name] = replace(made, result=replace(made.result, **changes))  # type: ignore[arg-type]


def news(desk: Desk, result: RefundResult) -> None:
    """Tell the service what the processor's webhook says."""
    row = desk.only()
    desk.store.write(
        "news", lambda conn: desk.service.recorder.apply(conn, row, result, by=RefundAction.REPORT)
    )


def test_a_refund_is_asked_for_once_and_paid(desk: Desk) -> None:
    entered = desk.enter()
    assert (entered.state, entered.due_at, entered.amount) == (State.REQUESTED, NOW, usd("149.00"))
    assert desk.step() == 1
    paid = desk.only()
    assert (paid.state, paid.processor_id) == (State.SUCCEEDED, "fake_1")
    assert (paid.reason, paid.detail, paid.uncertain, paid.adopted) == (None, None, False, False)
    assert (paid.first_sent_at, paid.sent_day, paid.tries) == (NOW, "2024-01-15", 0)
    assert desk.fake.requests == [
        RefundRequest(
            refund_id=paid.id,
            idempotency_key=f"{paid.id}-g1",
            payment=PaymentRef("payment_intent", "pi_1", adapter="fake"),
            amount=usd("149.00"),
            workspace_id="ws_1",
            ticket_id="tkt_1",
            order_id="1234",
            instructions_email=EMAIL,
        )
    ]


def test_the_ledger_says_that_the_call_is_made_before_it_is_made(desk: Desk) -> None:
    seen = []
    refund = desk.fake.refund

    def watched(request: RefundRequest) -> object:
        row = desk.only()
        seen.append((row.state, row.due_at, row.first_sent_at, desk.attempts()[-1].outcome))
        return refund(request)

    desk.fake.refund = watched  # type: ignore[method-assign, assignment]
    desk.enter()
    desk.step()
    assert seen == [(State.SENDING, NOW + desk.schedule.lease, NOW, "sent")]


def test_every_call_is_recorded_with_what_came_of_it(desk: Desk) -> None:
    failure = AdapterError(
        ErrorKind.RATE_LIMITED, "slow down", code="rate_limit", request_id="req_1"
    )
    desk.fake.fail_next(failure)
    desk.enter()
    desk.run(minutes=1)
    announced, failed, announced_again, paid = desk.attempts()
    assert (announced.call, announced.outcome, announced.generation) == ("refund", "sent", 1)
    assert (failed.call, failed.outcome) == ("refund", "rate_limited")
    assert (failed.message, failed.code, failed.request_id) == (
        "slow down",
        "rate_limit",
        "req_1",
    )
    assert announced_again.outcome == "sent"
    assert (paid.outcome, paid.processor_id, paid.message) == ("succeeded", "fake_1", None)
    assert (announced.at, paid.at) == (NOW, NOW + timedelta(seconds=5))


def test_the_customer_and_the_ticket_are_told_once(desk: Desk) -> None:
    desk.enter()
    desk.run(days=60)
    told = [(m.kind, m.payload, m.workspace_id, m.ticket_id) for m in desk.messages()]
    assert told == [
        ("ticket", {}, "ws_1", "tkt_1"),
        ("comment", {"body": SENT, "told": "paid"}, "ws_1", "tkt_1"),
    ]


def test_a_pending_refund_is_looked_at_in_growing_intervals_until_it_is_paid(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.PENDING
    desk.enter()
    waits = []
    while desk.step():
        due = desk.next_due()
        assert due is not None
        waits.append((due - desk.clock.now).total_seconds() / 60)
        desk.clock.now = due
        if len(waits) == 9:
            desk.fake.set_status("fake_1", RefundStatus.SUCCEEDED, arn="7498")
            break
    assert waits == [5, 10, 20, 40, 80, 160, 320, 360, 360]
    assert desk.only().state is State.PENDING
    desk.step()
    assert (desk.only().state, desk.only().arn, desk.only().tries) == (State.SUCCEEDED, "7498", 0)
    assert desk.told("comment") == [ON_ITS_WAY]
    assert len(desk.told("ticket")) == 2
    assert desk.fake.requests[1:] == []
    assert desk.calls() == ["refund pending", *["find pending"] * 8, "find succeeded"]


def test_a_pending_refund_may_fail_and_is_not_sent_again(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.PENDING
    desk.enter()
    desk.step()
    desk.fake.set_status("fake_1", RefundStatus.FAILED, failure_reason="expired_or_canceled_card")
    desk.run(days=60)
    failed = desk.only()
    assert (failed.state, failed.reason, failed.due_at) == (State.FAILED, "refund_failed", None)
    assert failed.detail == "The processor says: expired_or_canceled_card."
    assert failed.failure_reason == "expired_or_canceled_card"
    assert desk.told() == [
        ON_ITS_WAY,
        (
            "Refund failed: The processor says: expired_or_canceled_card. The money"
            " came back to you. Ask the customer for another way, or try again"
            " with: dispatch-returns refunds retry."
            f" (Refund {failed.id})"
        ),
    ]
    assert desk.keys == ["g1"]


def test_a_refund_canceled_at_the_processor_is_told(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.CANCELED
    desk.enter()
    desk.step()
    row = desk.only()
    assert (row.state, row.reason, row.due_at) == (State.CANCELED, "refund_canceled", None)
    assert row.detail == "The refund was canceled at the processor."
    assert len(desk.told("note")) == 1


def test_a_failure_without_a_reason_says_so(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.FAILED
    desk.enter()
    desk.step()
    assert desk.only().detail == "The processor says: no reason given."


def test_the_customer_is_told_of_a_step_of_their_own(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.REQUIRES_ACTION
    desk.enter()
    desk.step()
    assert desk.only().state is State.REQUIRES_ACTION
    assert desk.told() == [
        (
            "Your refund of 149.00 USD needs a step from you: you have been sent an e-mail that"
            " says how to receive it."
        )
    ]
    desk.fake.set_status("fake_1", RefundStatus.SUCCEEDED)
    desk.run(hours=1)
    assert desk.told()[1:] == [SENT]


def test_the_ticket_is_told_again_when_a_refund_comes_back_to_a_state(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.REQUIRES_ACTION
    desk.enter()
    desk.step()
    for status in (RefundStatus.SUCCEEDED, RefundStatus.REQUIRES_ACTION):
        desk.clock.turn(hours=2)
        news(desk, desk.fake.set_status("fake_1", status))
        assert desk.only().state.value == status
    assert len(desk.told("ticket")) == 3
    assert len(desk.told("comment")) == 2


def test_a_paid_refund_is_followed_for_a_month_and_then_let_go(desk: Desk) -> None:
    desk.enter()
    seen: list[timedelta] = []
    while desk.step() and len(seen) < 9:
        due = desk.next_due()
        if due is not None:
            seen.append(due - NOW)
            desk.clock.now = due
    assert seen == [
        timedelta(hours=1),
        timedelta(days=1, hours=1),
        timedelta(days=7, hours=1),
        timedelta(days=30, hours=1),
    ]
    assert desk.only().state is State.SUCCEEDED
    assert desk.only().due_at is None


def test_the_banks_number_arrives_late_and_is_kept(desk: Desk) -> None:
    desk.enter()
    desk.step()
    desk.fake.set_status("fake_1", RefundStatus.SUCCEEDED, arn="7498")
    desk.run(hours=2)
    assert desk.only().arn == "7498"
    assert len(desk.told("ticket")) == 2
    result_of(desk, arn=None)
    desk.run(days=60)
    assert desk.only().arn == "7498"
    assert len(desk.told("ticket")) == 2


def test_a_paid_refund_can_still_fail(desk: Desk) -> None:
    desk.enter()
    desk.step()
    desk.fake.set_status("fake_1", RefundStatus.FAILED, failure_reason="declined")
    desk.run(hours=2)
    assert desk.only().state is State.FAILED
    assert len(desk.told("note")) == 1


def test_a_processor_that_cannot_be_asked_is_asked_again_later(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.PENDING
    desk.enter()
    desk.step()
    for _ in range(3):
        desk.fake.fail_next(AdapterError(ErrorKind.AUTH, "the key is wrong"), call="find")
    desk.fake.set_status("fake_1", RefundStatus.SUCCEEDED)
    desk.run(minutes=24)
    assert (desk.only().state, desk.only().detail) == (State.PENDING, "the key is wrong")
    desk.run(minutes=2)
    assert (desk.only().state, desk.only().detail) == (State.SUCCEEDED, None)
    assert desk.told("note") == []


def test_a_refund_of_which_the_processor_does_not_say_how_it_stands_is_told_after_a_day(
    desk: Desk,
) -> None:
    desk.fake.first_status = RefundStatus.PENDING
    desk.enter()
    desk.step()
    for _ in range(100):
        desk.fake.fail_next(AdapterError(ErrorKind.UNKNOWN_OUTCOME, "no status"), call="find")
    desk.run(hours=23)
    assert desk.told("note") == []
    desk.run(days=2)
    (note,) = desk.told("note")
    assert "for a day it has not said how it stands" in note
    assert desk.only().state is State.PENDING
    assert len(desk.fake._faults["find"]) > 20, "it is not asked ever less often"


def test_an_accepted_refund_that_the_processor_does_not_show_is_told_after_a_day(
    desk: Desk,
) -> None:
    desk.fake.first_status = RefundStatus.PENDING
    desk.enter()
    desk.step()
    del desk.fake._made["fake_1"]
    desk.run(hours=23)
    assert desk.told("note") == []
    desk.run(days=9)
    (note,) = desk.told("note")
    assert "for a day it has not said how it stands" in note
    assert desk.only().state is State.PENDING
    with desk.store.read() as conn:
        assert not ledger.failing(conn, desk.clock.now).by_adapter, "the processor answers"
    assert desk.next_due() is not None, "it is still looked at"


def test_a_refund_that_the_processor_does_not_list_keeps_its_state(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.PENDING
    desk.enter()
    desk.step()
    desk.fake._made.clear()
    waits = []
    for _ in range(4):
        desk.clock.now = desk.next_due() or desk.clock.now
        desk.step()
        waits.append(((desk.next_due() or NOW) - desk.clock.now).total_seconds() / 60)
    assert waits == [10, 20, 40, 80]
    assert desk.only().state is State.PENDING


def test_a_paid_refund_that_is_not_listed_any_more_is_let_go(desk: Desk) -> None:
    desk.enter()
    desk.step()
    desk.fake._made.clear()
    desk.run(days=60)
    assert (desk.only().state, desk.only().due_at) == (State.SUCCEEDED, None)


def test_somebody_elses_refund_does_not_change_ours(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.PENDING
    desk.enter()
    desk.step()
    desk.fake._made.clear()
    desk.fake.refund_externally("pi_1", usd("149.00"))
    desk.run(hours=1)
    assert (desk.only().state, desk.only().adopted) == (State.PENDING, False)


def test_two_refunds_of_one_intent_at_the_processor_are_shown_to_a_person(desk: Desk) -> None:
    desk.enter()
    desk.step()
    twice = AdapterError(ErrorKind.KEY_CONFLICT, "This was refunded more than once: re_1, re_2.")
    for _ in range(3):
        desk.fake.fail_next(twice, call="find")
    desk.run(hours=2)
    row = desk.only()
    assert row.state is State.SUCCEEDED
    assert desk.told("note") == [
        (
            "Refund succeeded: This was refunded more than once: re_1, re_2. Look at these refunds"
            f" at the processor, and find out who made them. (Refund {row.id})"
        )
    ]


def test_without_look_ups_a_pending_refund_waits_for_news(desk: Desk) -> None:
    desk.fake.capabilities = replace(desk.fake.capabilities, lookup=False)
    desk.fake.first_status = RefundStatus.PENDING
    desk.enter()
    desk.run(days=60)
    assert (desk.only().state, desk.only().due_at) == (State.PENDING, None)
    result = desk.fake.set_status("fake_1", RefundStatus.SUCCEEDED)
    news(desk, result)
    assert (desk.only().state, desk.only().due_at) == (State.SUCCEEDED, None)
    assert desk.calls() == ["refund pending", "event succeeded"]


def test_another_amount_than_asked_for_is_neither_paid_nor_failed(desk: Desk) -> None:
    desk.enter()
    desk.step()
    result_of(desk, amount=usd("1.00"))
    desk.run(days=60)
    row = desk.only()
    assert (row.state, row.reason, row.due_at) == (State.UNKNOWN, "amount_differs", None)
    assert row.detail == "The processor has a refund of 1.00 USD instead of 149.00 USD."
    assert len(desk.told("note")) == 1


def test_another_amount_found_after_a_lost_response_is_told_too(desk: Desk) -> None:
    desk.fake.fail_next("lost_response")
    desk.enter()
    desk.step()
    result_of(desk, amount=usd("1.00"))
    desk.run(days=60)
    assert (desk.only().state, desk.only().reason) == (State.UNKNOWN, "amount_differs")
    assert desk.only().due_at is None
    assert len(desk.told("note")) == len(desk.told("ticket")) == 1


def test_what_the_processor_cannot_be_told_is_held(desk: Desk) -> None:
    desk.fake.fail_next(UnsupportedFeatureError("there are no partial refunds"))
    desk.enter()
    desk.run(days=3)
    row = desk.only()
    assert (row.state, row.reason, row.detail) == (
        State.HELD,
        "unsupported",
        "there are no partial refunds",
    )
    assert desk.calls() == ["refund unsupported"]
    assert desk.attempts()[-1].message == "there are no partial refunds"
    assert desk.paid == []


def test_a_refund_of_another_processor_waits_for_it(desk: Desk) -> None:
    desk.enter()
    other = FakeAdapter({"pi_1": usd("149.00")}, clock=desk.clock)
    other.name = "other"
    desk.restart(adapters=other)
    desk.run(hours=3)
    row = desk.only()
    assert (row.state, row.detail) == (State.REQUESTED, "waits for the adapter fake")
    assert NOW + timedelta(hours=3) < (row.due_at or NOW) <= NOW + timedelta(hours=4)
    assert other.requests == desk.fake.requests == []
    desk.restart(adapters=desk.fake)
    desk.run(hours=2)
    assert desk.only().state is State.SUCCEEDED


def test_a_held_refund_is_taken_over_by_the_processor_of_today(desk: Desk) -> None:
    desk.enter(facts(amount=None))
    other = FakeAdapter({"pi_1": usd("149.00")}, clock=desk.clock)
    other.name = "other"
    desk.restart(adapters=other)
    desk.enter()
    desk.run(minutes=1)
    assert desk.only().state is State.SUCCEEDED
    assert len(other.refunds) == 1


def test_a_finished_row_that_falls_due_is_put_to_rest(desk: Desk) -> None:
    desk.enter(facts(amount=None))
    desk.store.write(
        "due", lambda conn: conn.exec_driver_sql("UPDATE ledger SET due_at = created_at")
    )
    assert desk.step() == 1
    row = desk.only()
    assert (row.state, row.due_at, row.detail) == (
        State.HELD,
        None,
        "The ticket has no refund_amount.",
    )


def test_jitter_takes_up_to_half_off(desk: Desk) -> None:
    desk.service.recorder._jitter = lambda: 1.0
    desk.fake.fail_next(AdapterError(ErrorKind.NOT_SENT, "no connection"))
    desk.enter()
    desk.step()
    assert desk.next_due() == NOW + timedelta(seconds=2.5)


def test_a_service_has_defaults(desk: Desk) -> None:
    service = type(desk.service)(desk.store, desk.service.adapters)
    assert service.schedule == schedule()
    assert not service.limits.kill_switch
    assert service.limits is service.intake.limits
    assert service.now().tzinfo is not None
    assert 0 <= service.recorder._jitter() < 1
