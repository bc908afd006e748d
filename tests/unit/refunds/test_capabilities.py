"""What a processor can do decides what the service does: each capability is used, not only told."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.money import Money
from dispatch_returns.refunds import calls
from dispatch_returns.refunds.adapter import Payment, PaymentRef, RefundStatus
from dispatch_returns.refunds.capabilities import Capabilities
from dispatch_returns.refunds.details import RefundDetails, RefundLine, RefundReason
from dispatch_returns.refunds.guard import Reason
from dispatch_returns.refunds.transitions import State
from dispatch_returns.testing import FakeAdapter
from tests.support.desk import Desk, facts, usd

NOT_SETTLED = AdapterError(ErrorKind.NOT_SETTLED, "the payment is not settled", retry_after=7200)


def can(desk: Desk, **changes: object) -> None:
    desk.fake.capabilities = replace(desk.fake.capabilities, **changes)  # type: ignore[arg-type]


def test_a_part_of_a_payment_is_held_where_only_all_of_it_can_be_refunded(desk: Desk) -> None:
    can(desk, partial=False)
    desk.enter(facts(amount="100.00"))
    row = desk.only()
    assert (row.state, row.reason) == (State.HELD, Reason.UNSUPPORTED)
    desk.enter(facts("tkt_2", amount="149.00"))
    desk.step()
    assert [it.amount for it in desk.fake.refunds] == [usd("149.00")]


def test_a_payment_that_is_too_old_is_held_before_it_is_sent(desk: Desk) -> None:
    can(desk, refund_within=timedelta(days=180))
    desk.clock.turn(days=181)
    desk.enter()
    row = desk.only()
    assert (row.state, row.reason) == (State.HELD, Reason.NOT_REFUNDABLE)
    assert "180 days" in (row.detail or "")
    assert desk.fake.requests == []


def test_a_payment_with_as_many_refunds_as_it_takes_is_held(desk: Desk) -> None:
    can(desk, most_refunds=1)
    desk.fake.refund_externally("pi_1", usd("1.00"))
    desk.enter(facts(amount="2.00"))
    row = desk.only()
    assert (row.state, row.reason) == (State.HELD, Reason.NOT_REFUNDABLE)
    assert "no more" in (row.detail or "")


def test_a_key_that_is_too_long_is_never_sent(desk: Desk) -> None:
    can(desk, longest_key=38)
    desk.enter()
    desk.step()
    row = desk.only()
    assert (row.state, row.reason) == (State.HELD, Reason.UNSUPPORTED)
    assert desk.fake.requests == []


def test_a_voided_payment_is_an_outcome_of_its_own_and_is_shown_as_such(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.VOIDED
    desk.enter()
    desk.step()
    row = desk.only()
    assert row.state is State.VOIDED
    assert row.due_at is None
    (comment,) = [it for it in desk.messages(row) if it.kind == "comment"]
    assert "canceled before it was taken" in comment.payload["body"]
    assert desk.announced[-1][0] is State.VOIDED
    desk.enter()
    desk.step()
    assert len(desk.fake.requests) == 1, "it counts as paid back"


def test_a_payment_that_is_not_settled_waits_for_the_time_and_takes_a_new_key(desk: Desk) -> None:
    desk.fake.fail_next(NOT_SETTLED)
    row = desk.enter()
    desk.step()
    waiting = desk.only()
    assert (waiting.state, waiting.reason) == (State.REQUESTED, None)
    assert waiting.idempotency_key == f"{row.id}-g2", "the processor may keep its refusal"
    # Not the two hours that it says: a longer wait would look like that of a wrong clock.
    assert waiting.due_at == desk.clock() + timedelta(hours=1)
    desk.clock.turn(hours=1)
    desk.step()
    assert desk.only().state is State.SUCCEEDED
    assert len(desk.fake.refunds) == 1


def test_a_payment_that_is_never_settled_goes_to_a_person(desk: Desk) -> None:
    for _ in range(200):
        desk.fake.fail_next(NOT_SETTLED)
    desk.enter()
    for _ in range(150):
        desk.step()
        desk.clock.turn(hours=2)
    row = desk.only()
    assert (row.state, row.reason) == (State.HELD, Reason.NOT_SETTLED)
    assert desk.fake.refunds == []


def test_after_an_unknown_outcome_not_settled_is_no_refusal(desk: Desk) -> None:
    """The same key stays: the first call may have been carried out."""
    desk.fake.fail_next(AdapterError(ErrorKind.UNKNOWN_OUTCOME, "no answer"))
    desk.fake.fail_next(NOT_SETTLED)
    desk.enter()
    desk.run(hours=6)
    assert desk.keys == ["g1", "g1", "g1"]
    assert desk.only().state is State.SUCCEEDED
    assert len(desk.fake.refunds) == 1


def test_without_a_key_a_refused_call_is_not_repeated_before_the_look_up_can_show_it(
    desk: Desk,
) -> None:
    can(desk, key_lifetime=None, lookup=True, lookup_after=timedelta(minutes=2))
    desk.fake.fail_next(AdapterError(ErrorKind.RATE_LIMITED, "too many"))
    desk.enter()
    desk.step()
    desk.run(minutes=1)
    assert desk.keys == ["g1"], "the first call may yet be shown"
    desk.run(hours=1)
    assert desk.only().state is State.SUCCEEDED
    assert len(desk.fake.refunds) == 1


def test_where_the_webhook_is_the_only_outcome_a_person_hears_when_it_does_not_come(
    desk: Desk,
) -> None:
    can(desk, lookup=False)
    desk.fake.first_status = RefundStatus.PENDING
    desk.enter()
    desk.step()
    longest = desk.schedule.longest_poll
    assert desk.only().due_at == desk.clock() + longest, "the clock's check would bring it forward"
    desk.run(days=6)
    assert desk.told("note") == []
    desk.clock.turn(days=1)
    desk.step()
    row = desk.only()
    assert (row.state, row.due_at) == (State.PENDING, None)
    notes = [it.payload["body"] for it in desk.messages(row) if it.kind == "note"]
    assert "its webhook has not said how it ended" in notes[-1]


def test_a_refund_is_followed_by_the_processors_id_where_only_that_can_be_looked_up(
    desk: Desk,
) -> None:
    can(desk, lookup=False, lookup_by_id=True)
    desk.fake.first_status = RefundStatus.PENDING
    desk.enter()
    desk.step()
    row = desk.only()
    desk.fake.set_status(row.processor_id or "", RefundStatus.SUCCEEDED)
    desk.clock.turn(days=1)
    desk.step()
    assert desk.only().state is State.SUCCEEDED


def test_a_look_up_that_lags_is_made_again_before_a_person_is_asked(desk: Desk) -> None:
    can(desk, key_lifetime=None, lookup_after=timedelta(minutes=10))
    desk.fake.fail_next("lost_response")
    desk.enter()
    desk.step()
    row = desk.only()
    refund = replace(row, state=State.UNKNOWN, uncertain=True)
    lagging = calls.not_shown_yet(refund, desk.fake.capabilities, row.updated_at)
    assert lagging is not None
    assert lagging.retry_after == 600
    desk.clock.turn(minutes=11)
    assert calls.not_shown_yet(refund, desk.fake.capabilities, desk.clock()) is None


class Sessions(FakeAdapter):
    """Resolves a Checkout Session to its payment, as Stripe's adapter does."""

    def payment(self, ref: PaymentRef) -> Payment:
        if ref.kind != "checkout_session":
            return replace(super().payment(ref), names=frozenset({ref.id}))
        intent = replace(ref, kind="payment_intent", id=ref.id.removeprefix("cs_"))
        found = super().payment(intent)
        return replace(found, ref=intent, names=frozenset({ref.id, intent.id}))


@pytest.mark.parametrize("name", ["payment_intent", "payment_reference"])
def test_a_ticket_may_name_a_checkout_session_and_its_payment_is_refunded(
    desk: Desk, name: str
) -> None:
    desk = Desk(desk.store, Sessions({"pi_1": usd("149.00")}, clock=desk.clock))
    fields: dict[str, Any] = {"payment_intent": None, name: "cs_pi_1"}
    desk.enter(facts(**fields))
    desk.step()
    row = desk.only()
    assert row.state is State.SUCCEEDED
    assert row.payment is not None
    assert (row.payment["kind"], row.payment["id"]) == ("payment_intent", "pi_1")
    paid = PaymentRef("payment_intent", "pi_1", adapter="fake")
    assert desk.fake.requests[0].payment == paid


def test_what_a_refund_is_for_reaches_the_adapter_and_comes_back_as_it_was(desk: Desk) -> None:
    details = RefundDetails(
        RefundReason.RETURN,
        "R-7K3Q",
        (RefundLine("SKU-1", 2, "A shirt", usd("140.00")),),
        shipping=usd("9.00"),
    )
    of = facts()
    parcel = replace(of.parcel, granted=usd("149.00"), details=details)
    desk.enter(replace(of, parcel=parcel))
    desk.step()
    (request,) = desk.fake.requests
    assert request.details == details
    assert RefundDetails.from_json(details.to_json()) == details


def test_shares_that_do_not_belong_to_the_amount_are_left_out(desk: Desk) -> None:
    details = RefundDetails(lines=(RefundLine("SKU-1", amount=usd("149.00")),), shipping=usd("0"))
    of = facts(amount="100.00")
    desk.enter(replace(of, parcel=replace(of.parcel, granted=usd("149.00"), details=details)))
    desk.step()
    (request,) = desk.fake.requests
    assert request.details == RefundDetails(lines=(RefundLine("SKU-1"),))


def test_each_processor_counts_a_currency_in_its_own_units() -> None:
    assert Capabilities().currency_rule("ISK").step == 100
    assert Money.from_decimal(Decimal(5), "JPY", Capabilities().currency_rule("JPY")).minor == 5
