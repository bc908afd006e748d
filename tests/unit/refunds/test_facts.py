"""Which payment a ticket means, and what it says."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.orders import OrderRecord
from dispatch_returns.refunds.ticket_facts import NamedPayment, PaymentResolver
from tests.support.desk import EMAIL, facts


def no_ref(**fields: Any) -> dict[str, Any]:
    return {"payment_intent": None} | fields


def never(_order: str) -> PaymentRef:
    raise AssertionError("nobody need be asked")


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
def test_where_nobody_else_knows_the_tickets_payment_counts(
    fields: dict[str, Any], kind: str, payment_id: str
) -> None:
    found = PaymentResolver((lambda _order: None,)).resolve(facts(**fields))
    assert found == NamedPayment(PaymentRef(kind, payment_id))  # type: ignore[arg-type]


def test_the_orders_own_record_comes_before_look_ups_and_the_ticket() -> None:
    own = PaymentRef("payment_intent", "pi_own", account="acct_1")
    found = PaymentResolver((never,)).resolve(facts(), OrderRecord(("1234",), own))
    assert found.expected == own
    assert found.ref == PaymentRef("payment_intent", "pi_1", account="acct_1"), "the ticket's"


def test_a_payment_that_a_source_and_the_ticket_name_is_the_sources() -> None:
    own = PaymentRef("payment_intent", "pi_1", account="acct_1", reverse_transfer=True)
    assert PaymentResolver((lambda _order: own,)).resolve(facts()) == NamedPayment(own, own)


@pytest.mark.parametrize("spelling", ["#1234", "1234", " 1234 ", "gid://shop/Order/5678"])
def test_a_look_up_is_asked_by_every_name_of_the_order(spelling: str) -> None:
    known = {"1234": PaymentRef("payment_intent", "pi_of_1234")}
    order = OrderRecord(("gid://shop/Order/5678", "1234"))
    found = PaymentResolver((known.get,)).resolve(facts(**no_ref(order_id=spelling)), order)
    assert found.ref == known["1234"]


def test_then_each_look_up_by_order_is_asked_in_turn() -> None:
    asked = []

    def nothing(order: str) -> None:
        asked.append(order)

    def something(order: str) -> PaymentRef:
        return PaymentRef("charge", f"ch_of_{order}")

    resolver = PaymentResolver((nothing, something, nothing))
    assert resolver.resolve(facts(**no_ref())).ref == PaymentRef("charge", "ch_of_1234")
    assert asked == ["1234"]


@pytest.mark.parametrize("order", [None, "", "  ", True, ["1234"]])
def test_without_an_order_nobody_is_asked(order: object) -> None:
    assert PaymentResolver((never,)).resolve(facts(**no_ref(order_id=order))).ref is None


@pytest.mark.parametrize("value", ["", "pi 1", "pi/1", "a" * 256, "ß", 1.5, ["pi_1"], False])
def test_what_cannot_be_an_id_is_not_sent_to_a_processor(value: object) -> None:
    assert PaymentResolver().resolve(facts(payment_intent=value)).ref is None


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
