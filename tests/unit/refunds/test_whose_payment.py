"""The order system says whose payment is paid back, and a ticket does not overrule it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind, OrderError
from dispatch_returns.refunds import actions
from dispatch_returns.refunds.adapter import Payment, PaymentRef
from dispatch_returns.refunds.orders import MISSING, OrderRecord
from dispatch_returns.refunds.ticket_facts import PaymentResolver, TicketFacts
from dispatch_returns.refunds.transitions import State
from dispatch_returns.testing import FakeAdapter
from tests.support.desk import Desk, facts, usd
from tests.support.stores import open_store

JANES, MALLORYS = PaymentRef("payment_intent", "pi_1"), PaymentRef("payment_intent", "pi_2")
OpenDesk = Callable[..., Desk]


class Processor(FakeAdapter):
    """A processor that notes orders on payments, and knows some by two ids, as Stripe does."""

    def __init__(self, *, noted: str | None = None, names: dict[str, str] | None = None) -> None:
        super().__init__({"pi_1": usd("149.00"), "pi_2": usd("500.00"), "ch_1": usd("149.00")})
        self.noted, self.names = noted, names or {}

    def payment(self, ref: PaymentRef) -> Payment:
        names = frozenset({ref.id, self.names.get(ref.id, ref.id)})
        return replace(super().payment(ref), order_id=self.noted, names=names)


@pytest.fixture
def open_desk(tmp_path: Path) -> Iterator[OpenDesk]:
    with open_store(tmp_path) as store:

        def desk(**parts: Any) -> Desk:
            return Desk(store, **parts)

        yield desk


def knows(payment: PaymentRef | None, *names: str) -> Callable[[TicketFacts], OrderRecord]:
    return lambda _facts: OrderRecord(names or ("1234",), payment)


def not_found(_facts: TicketFacts) -> OrderRecord:
    return MISSING


def enter(desk: Desk, **fields: Any) -> tuple[str, str | None]:
    row = desk.enter(facts(**fields))
    desk.run()
    return row.state, row.reason


def by_a_lookup(payment: PaymentRef) -> dict[str, Any]:
    return {"resolver": PaymentResolver((lambda _order: payment,))}


@pytest.mark.parametrize("source", [{"order_of": knows(JANES)}, by_a_lookup(JANES)])
def test_a_ticket_cannot_send_an_orders_money_to_another_payment(
    open_desk: OpenDesk, source: dict[str, Any]
) -> None:
    desk = open_desk(**source)
    assert enter(desk, payment_intent="pi_2") == ("held", "payment_differs")
    assert "names the payment pi_2, but the order was paid with pi_1" in desk.told("note")[0]
    assert not desk.paid


def test_a_ticket_that_names_no_payment_or_the_orders_is_paid(open_desk: OpenDesk) -> None:
    desk = open_desk(order_of=knows(JANES))
    assert enter(desk, payment_intent=None) == ("requested", None)
    assert [it.payment for it in desk.fake.requests] == [replace(JANES, adapter="fake")]


@pytest.mark.parametrize("field", ["payment_intent", "charge_id"])
def test_a_charge_and_its_payment_intent_are_one_payment(open_desk: OpenDesk, field: str) -> None:
    adapter = Processor(names={"ch_1": "pi_1", "pi_1": "ch_1"})
    desk = open_desk(adapter=adapter, order_of=knows(JANES))
    named = {"payment_intent": None, field: "pi_1" if field == "payment_intent" else "ch_1"}
    assert enter(desk, **named) == ("requested", None)
    assert [it.payment for it in adapter.requests] == [replace(JANES, adapter="fake")]


def test_an_approval_settles_it_for_that_payment_and_amount(open_desk: OpenDesk) -> None:
    desk = open_desk(order_of=knows(JANES))
    asked = facts(payment_intent="pi_2")
    desk.enter(asked)
    approved = desk.act(actions.approve, facts=asked)
    assert (approved.state, approved.payment and approved.payment["id"]) == ("requested", "pi_2")
    desk.step()
    assert desk.paid == [usd("149.00")]


def test_an_approval_for_one_payment_is_none_for_another(open_desk: OpenDesk) -> None:
    desk = open_desk(order_of=knows(PaymentRef("payment_intent", "pi_own")))
    desk.enter(facts(payment_intent="pi_1"))
    again = desk.act(actions.approve, facts=facts(payment_intent="pi_2"))
    assert (again.state, again.reason, again.approved_by) == ("held", "payment_differs", None)


@pytest.mark.parametrize("noted", [None, "1234", "#1234", "76150"])
def test_a_note_on_the_orders_own_payment_does_not_contradict_its_order(
    open_desk: OpenDesk, noted: str | None
) -> None:
    desk = open_desk(adapter=Processor(noted=noted), order_of=knows(JANES))
    assert enter(desk, order_id="#1234") == ("requested", None)


@pytest.mark.parametrize(
    ("noted", "said", "expected"),
    [
        ("1234", "#1234", ("requested", None)),
        ("#1234", " 1234 ", ("requested", None)),
        ("1235", "1234", ("held", "order_differs")),
    ],
)
def test_without_a_source_the_note_must_name_the_tickets_order_however_spelled(
    open_desk: OpenDesk, noted: str, said: str, expected: tuple[str, str | None]
) -> None:
    assert enter(open_desk(adapter=Processor(noted=noted)), order_id=said) == expected


def test_a_note_may_name_the_order_by_any_of_its_names(open_desk: OpenDesk) -> None:
    order_of = knows(None, "gid://shop/Order/5678", "1234")
    desk = open_desk(adapter=Processor(noted="1234"), order_of=order_of)
    assert enter(desk, order_id="gid://shop/Order/5678") == ("requested", None)
    assert desk.only().order_id == "gid://shop/Order/5678"


def test_the_ledger_calls_an_order_by_its_sources_own_id(open_desk: OpenDesk) -> None:
    desk = open_desk(order_of=knows(JANES, "gid://shop/Order/5678", "1234"))
    enter(desk, order_id="#1234")
    assert desk.only().order_id == desk.fake.requests[0].order_id == "gid://shop/Order/5678"


# Where a source is asked, and does not know.


@pytest.mark.parametrize("order_id", ["9999", None])
def test_an_order_that_the_shop_does_not_know_pays_no_card_without_a_person(
    open_desk: OpenDesk, order_id: str | None
) -> None:
    desk = open_desk(order_of=not_found)
    asked = facts(order_id=order_id)
    assert desk.enter(asked).reason == "order_unknown"
    assert desk.act(actions.approve, facts=asked).state is State.REQUESTED


def test_a_payment_that_names_the_order_vouches_for_it(open_desk: OpenDesk) -> None:
    desk = open_desk(adapter=Processor(noted="#1234"), order_of=not_found)
    assert enter(desk) == ("requested", None)


def test_a_look_up_vouches_for_an_order_that_the_shop_does_not_know(open_desk: OpenDesk) -> None:
    desk = open_desk(order_of=not_found, **by_a_lookup(JANES))
    assert enter(desk) == ("requested", None)


def test_a_shop_that_cannot_be_reached_is_waited_for(open_desk: OpenDesk) -> None:
    def away(_facts: TicketFacts) -> OrderRecord:
        raise OrderError("Shopify failed (503)", retryable=True)

    with pytest.raises(AdapterError, match=r"Shopify failed \(503\)") as caught:
        open_desk(order_of=away).enter()
    assert caught.value.kind is ErrorKind.NOT_SENT


def test_an_order_that_cannot_be_read_is_held(open_desk: OpenDesk) -> None:
    def broken(_facts: TicketFacts) -> OrderRecord:
        raise OrderError("order 1234: the rows differ in currency")

    desk = open_desk(order_of=broken)
    assert enter(desk) == ("held", "order_unreadable")
    assert "the rows differ in currency" in desk.told("note")[0]
