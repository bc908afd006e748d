"""Which payment a ticket means, and what it says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.facts import PaymentResolver
from tests.support.desk import EMAIL, facts


def no_ref(**fields: Any) -> dict[str, Any]:
    return {"payment_intent": None} | fields


@pytest.mark.parametrize(
    ("fields", "kind", "payment_id"),
    [
        ({}, "payment_intent", "pi_1"),
        ({"payment_intent": " pi_9 "}, "payment_intent", "pi_9"),
        (no_ref(charge_id="ch_1"), "charge", "ch_1"),
        (no_ref(payment_reference="pi_2"), "payment_intent", "pi_2"),
        (no_ref(payment_reference="ch_2"), "charge", "ch_2"),
        (no_ref(payment_reference="py_2"), "charge", "py_2"),
        (no_ref(payment_reference="A-17_b"), "reference", "A-17_b"),
        (no_ref(payment_reference=4711), "reference", "4711"),
        ({"charge_id": "ch_1"}, "payment_intent", "pi_1"),
        (no_ref(charge_id="ch_1", payment_reference="x"), "charge", "ch_1"),
    ],
)
def test_the_tickets_own_payment_comes_first(
    fields: dict[str, Any], kind: str, payment_id: str
) -> None:
    def never(_order: str) -> PaymentRef:
        raise AssertionError("the ticket names its payment")

    found = PaymentResolver((never,)).resolve(facts(**fields))
    assert found is not None
    assert (found.kind, found.id) == (kind, payment_id)


def test_then_each_look_up_by_order_is_asked_in_turn() -> None:
    asked = []

    def nothing(order: str) -> None:
        asked.append(order)

    def something(order: str) -> PaymentRef:
        return PaymentRef("charge", f"ch_of_{order}")

    resolver = PaymentResolver((nothing, something, nothing))
    assert resolver.resolve(facts(**no_ref())) == PaymentRef("charge", "ch_of_1234")
    assert asked == ["1234"]


@pytest.mark.parametrize("order", [None, "", "  ", True, ["1234"]])
def test_without_an_order_nobody_is_asked(order: object) -> None:
    def never(_order: str) -> PaymentRef:
        raise AssertionError("there is no order")

    assert PaymentResolver((never,)).resolve(facts(**no_ref(order_id=order))) is None


@pytest.mark.parametrize("value", ["", "pi 1", "pi/1", "a" * 256, "ß", 1.5, ["pi_1"], False])
def test_what_cannot_be_an_id_is_not_sent_to_a_processor(value: object) -> None:
    assert PaymentResolver().resolve(facts(payment_intent=value)) is None


def test_a_number_may_be_an_order() -> None:
    assert facts(order_id=1234).order_id == "1234"


def test_a_ticket_without_fields_says_nothing() -> None:
    said = facts(amount=None, order_id=None, payment_intent=None, received_date=None)
    assert (said.order_id, said.amount, said.currency, said.fields) == (None, None, None, {})


def test_an_integer_and_digits_are_amounts() -> None:
    assert facts(amount=149).amount == Decimal(149)
    assert facts(refund_amount="149.10").amount == Decimal("149.10")


def test_the_customer_is_not_shown() -> None:
    assert EMAIL not in repr(facts())
    assert "pi_1" not in repr(facts())
