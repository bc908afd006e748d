"""What was paid back before counts, whoever paid it, and whether a webhook told of it or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection

from dispatch_returns.errors import AdapterError, ErrorKind, UnsupportedFeatureError
from dispatch_returns.refunds import actions, ledger
from dispatch_returns.refunds.adapter import KnownRefund, PaymentRef, UnreadableRefund
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.ticket_facts import Parcel, TicketFacts
from dispatch_returns.refunds.transitions import RefundAction, State
from dispatch_returns.store.switches import Switch
from tests.support.desk import NOW, Desk, facts, usd


def of(desk: Desk, ticket_id: str) -> Refund:
    return next(it for it in desk.refunds() if it.ticket_id == ticket_id)


def returned(granted: str, accounted: str | None = None) -> TicketFacts:
    """A return of which the policy granted so much; the shop's order knew of this refund."""
    knew = None if accounted is None else usd(accounted)
    parcel = Parcel(granted=usd(granted), automatic=True, accounted=knew)
    return replace(facts(amount=granted, payment_intent="pi_2"), parcel=parcel)


def test_a_refund_made_before_the_request_settles_no_ticket(desk: Desk) -> None:
    desk.fake.refund_externally("pi_2", usd("9.00"))
    later = replace(
        facts(amount="9.00", payment_intent="pi_2"), requested_at=NOW + timedelta(minutes=1)
    )
    held = desk.enter(later)
    assert (held.state, held.reason, held.adopted) == (State.HELD, "refunded_elsewhere", False)
    assert held.detail == "This payment was already refunded elsewhere: 9.00 USD (fake_1)."
    desk.run(days=1)
    assert desk.paid == [usd("9.00")]


def test_a_refund_of_just_the_amount_after_the_request_settles_the_ticket(desk: Desk) -> None:
    desk.clock.turn(hours=1)
    desk.fake.refund_externally("pi_2", usd("9.00"))
    adopted = desk.enter(facts(amount="9.00", payment_intent="pi_2"))
    assert (adopted.state, adopted.adopted) == (State.SUCCEEDED, True)
    desk.run(days=1)
    assert (desk.paid, desk.fake.requests) == ([usd("9.00")], [])


def test_a_refund_that_names_another_ticket_settles_no_other_one(desk: Desk) -> None:
    """As one of a row that a restored backup does not have."""
    desk.enter(facts("tkt_2", "9.00", payment_intent="pi_2"))
    desk.step()
    lost = desk.only().id

    def forget(conn: Connection) -> None:
        for table in ("attempts", "outbox"):
            conn.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table}_no_delete")
            conn.exec_driver_sql(f"DELETE FROM {table} WHERE refund_id = '{lost}'")
        conn.exec_driver_sql("DELETE FROM ledger")

    desk.store.write("forget", forget)
    held = desk.enter(facts(amount="9.00", payment_intent="pi_2"))
    assert (held.state, held.reason) == (State.HELD, "refunded_elsewhere")


def test_a_person_may_pay_it_as_well(desk: Desk) -> None:
    desk.fake.refund_externally("pi_2", usd("10.00"))
    asked = facts(amount="9.00", payment_intent="pi_2")
    held = desk.enter(asked)
    actions.approve(desk.service, held.id, who="Ann", facts=asked)
    desk.run(minutes=1)
    assert desk.paid == [usd("10.00"), usd("9.00")]


def test_what_the_shops_own_order_knew_was_counted_when_it_was_granted(desk: Desk) -> None:
    desk.fake.refund_externally("pi_2", usd("10.00"))
    desk.enter(returned("49.00", accounted="10.00"))
    desk.run(minutes=1)
    assert desk.paid == [usd("10.00"), usd("49.00")]


def test_what_the_shops_own_order_did_not_know_holds(desk: Desk) -> None:
    desk.fake.refund_externally("pi_2", usd("10.00"))
    desk.fake.refund_externally("pi_2", usd("5.00"))
    assert desk.enter(returned("49.00", accounted="10.00")).reason == "refunded_elsewhere"


def test_what_the_shop_knew_may_be_what_we_paid(desk: Desk) -> None:
    desk.enter(facts("tkt_2", "10.00", payment_intent="pi_2"))
    desk.step()
    desk.fake.refund_externally("pi_2", usd("5.00"))
    assert desk.enter(returned("49.00", accounted="10.00")).reason == "refunded_elsewhere"


def test_less_is_paid_where_both_are_not_more_than_was_granted(desk: Desk) -> None:
    desk.fake.refund_externally("pi_2", usd("10.00"))
    asked = replace(facts(amount="39.00", payment_intent="pi_2"), parcel=returned("49.00").parcel)
    desk.enter(asked)
    desk.run(minutes=1)
    assert desk.paid == [usd("10.00"), usd("39.00")]


def test_a_refund_elsewhere_that_failed_is_none(desk: Desk) -> None:
    made = desk.fake.refund_externally("pi_2", usd("10.00"))
    desk.fake.set_status(made.processor_id, made.status.FAILED)
    desk.fake.refund_externally("pi_2", usd("1.00"))
    held = desk.enter(facts(payment_intent="pi_2"))
    assert held.detail == "This payment was already refunded elsewhere: 1.00 USD (fake_2)."


def test_three_tickets_do_not_count_on_two_refunds(desk: Desk) -> None:
    desk.fake.add_payment("pi_3", usd("50.00"))
    for ticket, amount in (("tkt_1", "30.00"), ("tkt_2", "20.00"), ("tkt_3", "15.00")):
        desk.enter(facts(ticket, amount, payment_intent="pi_3"))
        desk.run(minutes=1)
    third = of(desk, "tkt_3")
    assert (third.state, third.reason, third.processor_id) == (
        State.HELD,
        "exceeds_remaining",
        None,
    )
    assert desk.paid == [usd("30.00"), usd("20.00")]


def test_three_tickets_at_once_do_not_count_on_two_refunds(desk: Desk) -> None:
    desk.fake.add_payment("pi_3", usd("50.00"))
    for ticket, amount in (("tkt_1", "30.00"), ("tkt_2", "20.00"), ("tkt_3", "15.00")):
        desk.enter(facts(ticket, amount, payment_intent="pi_3"))
    desk.run(days=1)
    rows = [of(desk, f"tkt_{number}") for number in (1, 2, 3)]
    assert sum(it.state is State.HELD for it in rows) >= 1
    claimed = [it.processor_id for it in rows if it.processor_id is not None]
    assert len(claimed) == len(set(claimed)) == len(desk.paid)


def test_of_two_adoptions_at_once_the_second_looks_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under the two names of one payment, so that neither waits for the other."""
    desk.clock.turn(hours=1)
    desk.fake.refund_externally("pi_2", usd("9.00"))
    desk.enter(facts("tkt_1", "9.00", payment_intent="pi_2"))
    with monkeypatch.context() as patch:
        patch.setattr("dispatch_returns.refunds.external.of_no_row", lambda _conn, seen: list(seen))
        with pytest.raises(ledger.TakenError):
            desk.enter(facts("tkt_2", "9.00", payment_intent="pi_2"))
    assert desk.enter(facts("tkt_2", "9.00", payment_intent="pi_2")).reason == "possible_duplicate"
    assert desk.paid == [usd("9.00")]


def test_a_refund_whose_answer_another_row_has_waits_for_a_person(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.enter(facts("tkt_1"), facts("tkt_2", payment_intent="pi_2"))
    refund = desk.fake.refund
    monkeypatch.setattr(
        desk.fake, "refund", lambda it: replace(refund(it), processor_id="fake_same")
    )
    desk.step()
    second = next(it for it in desk.refunds() if it.state is not State.SUCCEEDED)
    assert (second.state, second.reason, second.due_at) == (State.UNKNOWN, "outcome_unknown", None)


def test_two_rows_cannot_have_one_refund(desk: Desk) -> None:
    desk.enter(facts("tkt_1"), facts("tkt_2", payment_intent="pi_2"))
    first, second = desk.refunds()

    def claim(row: Refund) -> Callable[[Connection], Refund]:
        by = RefundAction.ADOPT
        return lambda conn: ledger.move(conn, row, NOW, State.SUCCEEDED, by=by, processor_id="re_1")

    desk.store.write("claim", claim(first))
    with pytest.raises(ledger.TakenError):
        desk.store.write("claim", claim(second))


def test_our_own_refund_of_a_lost_row_takes_nothing_from_what_is_left(desk: Desk) -> None:
    """100.00 of 149.00 were paid, and the backup does not know: 49.00 left are enough."""
    desk.enter(facts(amount="100.00"))
    desk.step()
    desk.store.write(
        "rewind",
        lambda conn: conn.exec_driver_sql(
            "UPDATE ledger SET state = 'held', reason = 'no_amount', detail = 'x',"
            " processor_id = NULL, first_sent_at = NULL, due_at = NULL"
        ),
    )
    assert desk.enter(facts(amount="100.00")).uncertain
    desk.run(days=1)
    assert (desk.only().state, desk.paid) == (State.SUCCEEDED, [usd("100.00")])


@pytest.fixture
def stopped(desk: Desk) -> Desk:
    """A desk with a refund of 9.00 of 500.00 that waits for the kill switch since an hour."""
    desk.throw(Switch.KILL, is_on=True)
    desk.enter(facts(amount="9.00", payment_intent="pi_2"))
    desk.run(hours=1)
    return desk


def go_on(desk: Desk) -> Refund:
    desk.throw(Switch.KILL, is_on=False)
    desk.run(hours=1)
    return desk.only()


def test_a_refund_of_just_its_amount_settles_what_waits_although_nobody_told(
    stopped: Desk,
) -> None:
    stopped.fake.refund_externally("pi_2", usd("9.00"))
    adopted = go_on(stopped)
    assert (adopted.state, adopted.adopted) == (State.SUCCEEDED, True)
    assert (stopped.paid, stopped.fake.requests) == ([usd("9.00")], [])


def test_a_refund_of_just_its_amount_settles_what_is_tried_again(desk: Desk) -> None:
    desk.fake.fail_next(AdapterError(ErrorKind.NOT_SENT, "down"))
    desk.enter(facts(amount="9.00", payment_intent="pi_2"))
    desk.step()
    desk.fake.refund_externally("pi_2", usd("9.00"))
    desk.run(hours=1)
    assert (desk.only().adopted, desk.paid) == (True, [usd("9.00")])


def test_a_refund_of_another_amount_holds_what_waits_although_nobody_told(stopped: Desk) -> None:
    stopped.fake.refund_externally("pi_2", usd("10.00"))
    held = go_on(stopped)
    assert (held.state, held.reason) == (State.HELD, "refunded_elsewhere")
    assert held.detail == "This payment was already refunded elsewhere: 10.00 USD (fake_1)."
    stopped.act(actions.approve, facts=facts(amount="9.00", payment_intent="pi_2"))
    stopped.run(hours=1)
    assert stopped.paid == [usd("10.00"), usd("9.00")]


def test_a_retry_of_what_waits_hides_no_refund_made_meanwhile(stopped: Desk) -> None:
    stopped.fake.refund_externally("pi_2", usd("10.00"))
    stopped.clock.turn(minutes=5)
    stopped.retry()
    assert go_on(stopped).reason == "refunded_elsewhere"
    assert stopped.paid == [usd("10.00")]


def test_what_was_counted_at_the_check_does_not_hold_what_waits(desk: Desk) -> None:
    desk.fake.refund_externally("pi_2", usd("10.00"))
    desk.throw(Switch.KILL, is_on=True)
    desk.enter(returned("49.00", accounted="10.00"))
    desk.run(hours=1)
    assert go_on(desk).state is State.SUCCEEDED
    assert desk.paid == [usd("10.00"), usd("49.00")]


def test_where_the_list_cannot_be_had_what_waits_is_put_off(stopped: Desk) -> None:
    stopped.fake.refund_externally("pi_2", usd("9.00"))
    stopped.fake.fail_next(AdapterError(ErrorKind.NOT_SENT, "down"), call="refunds_of")
    stopped.throw(Switch.KILL, is_on=False)
    stopped.clock.turn(minutes=2)
    stopped.step()
    assert (stopped.only().state, stopped.only().detail) == (State.REQUESTED, "down")
    assert go_on(stopped).adopted
    assert stopped.paid == [usd("9.00")]


def test_where_a_payment_has_no_list_what_waits_is_held(
    stopped: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(_ref: PaymentRef) -> list[KnownRefund]:
        raise UnsupportedFeatureError("no list of it")

    monkeypatch.setattr(stopped.fake, "refunds_of", none)
    held = go_on(stopped)
    assert (held.state, held.reason) == (State.HELD, "unsupported")
    assert stopped.paid == []


def test_the_processor_is_asked_for_its_list_only_where_money_has_moved(desk: Desk) -> None:
    desk.fake.fail_next(AdapterError(ErrorKind.NOT_SENT, "down"), call="refunds_of")
    assert desk.enter().state is State.REQUESTED
    with pytest.raises(AdapterError):
        desk.fake.refunds_of(desk.service.intake.evaluate(facts()).payment)  # type: ignore[arg-type]


def spoil(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no refund of any payment be readable."""
    bad = UnreadableRefund("re_bad", "its amount cannot be read")
    monkeypatch.setattr(desk.fake, "refunds_of", lambda _ref: [bad])


def test_a_refund_that_cannot_be_read_holds_what_is_to_be_paid_of_its_payment(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.fake.refund_externally("pi_2", usd("1.00"))
    spoil(desk, monkeypatch)
    held = desk.enter(facts(amount="9.00", payment_intent="pi_2"))
    assert (held.state, held.reason) == (State.HELD, "refund_unreadable")
    assert "refund re_bad: its amount cannot be read" in (held.detail or "")
    desk.enter(facts("tkt_2"))  # of another payment
    desk.run(minutes=1)
    assert of(desk, "tkt_2").state is State.SUCCEEDED
    assert desk.paid == [usd("1.00"), of(desk, "tkt_2").amount]


def test_a_refund_that_cannot_be_read_holds_what_waits(
    stopped: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil(stopped, monkeypatch)
    held = go_on(stopped)
    assert (held.state, held.reason) == (State.HELD, "refund_unreadable")
    assert stopped.paid == []
