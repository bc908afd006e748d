"""Stripe's objects, read into our words."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import (
    PaymentKind,
    PaymentRef,
    RefundRequest,
    RefundStatus,
    UnreadableRefund,
)
from dispatch_returns.refunds.adapters.stripe import objects

REQUEST = RefundRequest(
    refund_id="rfd_1",
    idempotency_key="rfd_1-g2",
    payment=PaymentRef("payment_intent", "pi_1"),
    amount=Money(14900, "USD"),
    workspace_id="ws_1",
    ticket_id="tkt_1",
)


def a_charge(**changes: Any) -> dict[str, Any]:
    charge = {
        "id": "ch_1",
        "object": "charge",
        "amount": 14900,
        "amount_captured": 14900,
        "amount_refunded": 0,
        "captured": True,
        "currency": "usd",
        "disputed": False,
        "status": "succeeded",
    }
    return charge | changes


def an_intent(charge: Any, **changes: Any) -> dict[str, Any]:
    intent = {
        "id": "pi_1",
        "object": "payment_intent",
        "status": "succeeded",
        "latest_charge": charge,
    }
    return intent | changes


def a_refund(refund_id: str = "re_1", **changes: Any) -> dict[str, Any]:
    refund = {
        "id": refund_id,
        "object": "refund",
        "amount": 14900,
        "currency": "usd",
        "status": "succeeded",
        "metadata": {},
        "payment_intent": "pi_1",
        "charge": "ch_1",
    }
    return refund | changes


def ours(refund_id: str, status: str, generation: int = 2) -> dict[str, Any]:
    metadata = {
        "dispatch_refund_id": "rfd_1",
        "dispatch_idempotency_key": f"rfd_1-g{generation}",
    }
    return a_refund(refund_id, status=status, metadata=metadata)


def test_a_payment_says_the_address_of_who_paid_and_never_shows_it() -> None:
    bare = a_charge()
    billed = {**bare, "billing_details": {"email": "bill@example.com"}}
    assert objects.payment_of_charge(bare).email is None
    assert objects.payment_of_charge(billed).email == "bill@example.com"
    sent = {**an_intent(billed), "receipt_email": "jane@example.com"}
    payment = objects.payment_of_intent(sent)
    assert payment.email == "jane@example.com"
    assert "jane" not in repr(payment)
    known = {**an_intent(bare), "customer": {"id": "cus_1", "email": "joe@example.com"}}
    assert objects.payment_of_intent(known).email == "joe@example.com"


@pytest.mark.parametrize("read", [objects.payment_of_charge, None])
def test_a_payment_is_what_was_captured(read: Any) -> None:
    charge = a_charge(amount_refunded=4900)
    payment = read(charge) if read else objects.payment_of_intent(an_intent(charge))
    assert payment.currency == "USD"
    assert payment.charged == Money(14900, "USD")
    assert payment.remaining == Money(10000, "USD")
    assert not payment.disputed


def test_a_currency_without_decimals_and_one_with_three() -> None:
    yen = objects.payment_of_charge(a_charge(currency="jpy"))
    dinar = objects.payment_of_charge(a_charge(currency="kwd"))
    assert yen.charged == Money(14900, "JPY", 0)
    assert dinar.charged == Money(14900, "KWD", 3)


def test_a_dispute_is_told() -> None:
    assert objects.payment_of_charge(a_charge(disputed=True)).disputed


def test_older_apis_do_not_say_how_much_was_captured_nor_of_disputes() -> None:
    charge = a_charge()
    del charge["amount_captured"], charge["disputed"]
    payment = objects.payment_of_charge(charge)
    assert payment.charged == Money(14900, "USD")
    assert not payment.disputed


@pytest.mark.parametrize(
    ("captured", "counted_as_refunded", "refunded"),
    [
        (10000, 4900, 0),
        (10000, 5900, 1000),
        (10000, 14900, 10000),
        (4900, 10000, 0),
        (10000, 0, 0),
        (10000, 99999, 10000),
    ],
)
def test_what_a_partial_capture_released_is_no_refund(
    captured: int, counted_as_refunded: int, refunded: int
) -> None:
    charge = a_charge(amount_captured=captured, amount_refunded=counted_as_refunded)
    payment = objects.payment_of_charge(charge)
    assert payment.charged == Money(captured, "USD")
    assert payment.refunded == Money(refunded, "USD")


@pytest.mark.parametrize(
    ("intent", "says"),
    [
        (an_intent(None, status="requires_payment_method"), "was not paid"),
        (an_intent(None, status="canceled"), "canceled"),
        (an_intent(a_charge(status="failed"), status="requires_payment_method"), "was not paid"),
        (an_intent(a_charge(status="pending"), status="processing"), "wait"),
        (
            an_intent(a_charge(captured=False, amount_captured=0), status="requires_capture"),
            "cancel it in Stripe instead",
        ),
    ],
)
def test_an_intent_nobody_paid_cannot_be_refunded(intent: dict[str, Any], says: str) -> None:
    with pytest.raises(AdapterError, match=says) as caught:
        objects.payment_of_intent(intent)
    assert caught.value.kind is ErrorKind.NOT_REFUNDABLE


@pytest.mark.parametrize(
    ("charge", "says"),
    [
        (a_charge(status="failed"), "was not paid"),
        (a_charge(captured=False, amount_captured=0), "cancel it in Stripe instead"),
    ],
)
def test_a_charge_nobody_paid_cannot_be_refunded(charge: dict[str, Any], says: str) -> None:
    with pytest.raises(AdapterError, match=says) as caught:
        objects.payment_of_charge(charge)
    assert caught.value.kind is ErrorKind.NOT_REFUNDABLE


@pytest.mark.parametrize("status", list(RefundStatus))
def test_a_refund_keeps_stripes_status(status: RefundStatus) -> None:
    refund = a_refund(status=status.value, failure_reason="declined")
    result = objects.refund_result(refund, request_id="req_1")
    assert result.status is status
    assert (result.processor_id, result.amount) == ("re_1", Money(14900, "USD"))
    assert (result.failure_reason, result.request_id, result.ours) == ("declined", "req_1", True)


@pytest.mark.parametrize(
    ("card", "arn"),
    [
        ({"reference": "7400", "reference_type": "acquirer_reference_number"}, "7400"),
        ({"reference": "7400", "reference_type": "system_trace_audit_number"}, None),
        ({"reference_type": "acquirer_reference_number", "reference_status": "pending"}, None),
        ({"reference": "", "reference_type": "acquirer_reference_number"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_the_arn_is_the_reference_of_that_type(card: Any, arn: str | None) -> None:
    refund = a_refund(destination_details={"type": "card", "card": card})
    assert objects.refund_result(refund).arn == arn


@pytest.mark.parametrize("details", [None, {}, {"type": "blik"}])
def test_without_a_card_there_is_no_arn(details: Any) -> None:
    assert objects.refund_result(a_refund(destination_details=details)).arn is None


@pytest.mark.parametrize(
    "refund",
    [
        a_refund(status="new_status"),
        a_refund(status=None),
        a_refund(object="charge"),
        a_refund(refund_id=""),
        a_refund(amount="14900"),
        a_refund(amount=149.0),
        a_refund(amount=-1),
        a_refund(currency="dollars"),
        {},
    ],
)
def test_what_is_not_as_documented_is_not_guessed_at(refund: dict[str, Any]) -> None:
    with pytest.raises((KeyError, TypeError, ValueError)):
        objects.refund_result(refund)


@pytest.mark.parametrize(
    ("refund", "refs"),
    [
        (a_refund(), ["pi_1", "ch_1"]),
        (a_refund(payment_intent={"id": "pi_2"}), ["pi_2", "ch_1"]),
        (a_refund(payment_intent=None), ["ch_1"]),
        (a_refund(payment_intent=None, charge=None), []),
    ],
)
def test_a_refund_tells_all_names_of_its_payment(refund: dict[str, Any], refs: list[str]) -> None:
    kinds: dict[str, PaymentKind] = {"pi": "payment_intent", "ch": "charge"}
    known = objects.known_refund(refund | {"created": 1}, "acct_1")
    assert known.payments == tuple(PaymentRef(kinds[ref[:2]], ref, "acct_1") for ref in refs)


def test_a_refund_tells_whose_it_is() -> None:
    known = objects.known_refund(ours("re_2", "succeeded") | {"created": 1700000000}, None)
    assert (known.refund_id, known.result.ours) == ("rfd_1", True)
    assert known.created_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    others = objects.known_refund(a_refund(metadata=None) | {"created": 1}, None)
    assert (others.refund_id, others.ticket_id, others.result.ours) == (None, None, False)


FOREIGN = a_refund("re_foreign", metadata=None)
OTHER_TICKET = a_refund("re_other", metadata={"dispatch_refund_id": "rfd_2"})


@pytest.mark.parametrize(
    ("refunds", "found"),
    [
        ([], None),
        ([FOREIGN, OTHER_TICKET], None),
        ([FOREIGN, ours("re_2", "pending"), OTHER_TICKET], "re_2"),
        ([ours("re_2", "succeeded"), ours("re_1", "failed", 1)], "re_2"),
        ([ours("re_2", "failed"), ours("re_1", "failed", 1)], "re_2"),
        ([ours("re_1", "failed", 1)], None),
        ([ours("re_1", "canceled", 1)], None),
        # An earlier generation came back to life: paying again would pay twice.
        ([ours("re_1", "requires_action", 1)], "re_1"),
        ([ours("re_2", "failed"), ours("re_1", "pending", 1)], "re_1"),
    ],
)
def test_our_refund_is_the_one_that_pays_else_the_one_of_this_key(
    refunds: list[dict[str, Any]], found: str | None
) -> None:
    refund = objects.our_refund(refunds, REQUEST)
    assert (refund and refund["id"]) == found


@pytest.mark.parametrize("generation", [1, 2])
def test_two_refunds_of_ours_that_pay_need_a_person(generation: int) -> None:
    twice = [ours("re_2", "succeeded"), ours("re_1", "pending", generation)]
    with pytest.raises(AdapterError, match="re_2, re_1") as caught:
        objects.our_refund(twice, REQUEST)
    assert caught.value.kind is ErrorKind.KEY_CONFLICT


def test_the_order_that_the_shop_noted_on_the_payment_is_told() -> None:
    charge = a_charge(metadata={"order_id": "1234"})
    assert objects.payment_of_charge(charge).order_id == "1234"
    intent = an_intent(charge) | {"metadata": {"order_id": "5678"}}
    assert objects.payment_of_intent(intent).order_id == "5678"


@pytest.mark.parametrize("metadata", [None, {}, {"order_id": ""}])
def test_a_payment_without_a_noted_order_has_none(metadata: Any) -> None:
    assert objects.payment_of_charge(a_charge(metadata=metadata)).order_id is None


@pytest.mark.parametrize("kind", ["us_bank_transfer", "eu_bank_transfer", "a_new_way"])
def test_other_ways_than_cards_have_a_tracing_number_too(kind: str) -> None:
    way = {"reference": "ABC123", "reference_status": "available"}
    refund = a_refund(destination_details={"type": kind, kind: way})
    assert objects.refund_result(refund).arn == "ABC123"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("object", "charge"),
        ("id", 7),
        ("status", {}),
        ("currency", None),
        ("amount", "149.00"),
        ("amount", -1),
        ("created", "yesterday"),
        ("metadata", ["jane@example.com"]),
        ("metadata", {"dispatch_ticket_id": {}}),
        ("payment_intent", {"id": None}),
        ("charge", 5),
        ("destination_details", "jane@example.com"),
    ],
)
def test_a_listed_refund_that_cannot_be_read_names_its_field_and_no_value(
    field: str, value: Any
) -> None:
    found = objects.listed_refund(a_refund("re_1", created=1) | {field: value}, None)
    assert isinstance(found, UnreadableRefund)
    assert found.problem == f"its {field} cannot be read"
    assert found.processor_id == (None if field == "id" else "re_1")
    assert "jane" not in str(found)


def test_a_listed_refund_without_a_field_or_that_is_none_says_so() -> None:
    bare = a_refund("re_1", created=1)
    del bare["amount"]
    assert str(objects.listed_refund(bare, None)) == "refund re_1: its amount is missing"
    assert str(objects.listed_refund(7, None)) == "refund without an id: it is not an object"


@pytest.mark.parametrize("bad", [7, {"id": "re_9", "metadata": [], "status": "failed"}, {}])
def test_a_refund_that_may_be_ours_and_cannot_be_read_is_not_none(bad: Any) -> None:
    with pytest.raises(AdapterError, match=r"re_9|without an id") as caught:
        objects.our_refund([bad, a_refund("re_1")], REQUEST)
    assert caught.value.kind is ErrorKind.UNREADABLE_REFUND
    ours_too = [bad, ours("re_2", "succeeded")]
    assert objects.our_refund(ours_too, REQUEST) == ours_too[1]
