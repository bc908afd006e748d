"""Whose order it is: another than its customer is shown, sent and paid nothing without a person."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.connector.settings import Settings
from dispatch_returns.errors import OrderError
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns.labels.provider import Address
from dispatch_returns.returns.orders.registry import Orders as SeveralOrders
from dispatch_returns.returns.policy.verdict import Outcome
from tests.support.desk import usd
from tests.support.returns import Orders, order
from tests.support.returns_shop import ReturnsShop
from tests.support.workshop import Workshop

JANE, MALLORY = "jane@example.com", "mallory@evil.example"
HOME = Address("Jane Doe", "12 Secret Lane", "Hideaway", "99999", "US")
JANES = replace(order(), customer_email=JANE, address=HOME)


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[ReturnsShop]:
    shop = ReturnsShop(box, tmp_path)
    shop.merchant.orders.known["1234"] = JANES
    yield shop
    shop.close()


def ask_as(shop: ReturnsShop, email: str, **fields: str) -> Ticket:
    """Open a return under an address, and let it go as far as it goes."""
    shop.fake.add_payment("pi_1234", usd("1000.00"))
    ticket = shop.connector.returns.request(
        order_id="1234",
        items=["SKU-001"],
        reason="wrong_size",
        customer_email=email,
        fields={"payment_intent": "pi_1234"} | fields,
    )
    shop.arrive(ticket)
    return ticket


def test_a_stranger_gets_no_label_and_learns_nothing_of_the_order(shop: ReturnsShop) -> None:
    ticket = ask_as(shop, MALLORY)
    assert shop.status(ticket) == "needs_review"
    assert shop.merchant.labels.bought == []
    assert shop.merchant.notifier.kinds == ["requested", "in_review"]
    assert "customer_differs" in shop.notes(ticket)[0]
    assert JANE not in shop.notes(ticket)[0]


def test_the_same_address_in_other_capitals_walks_through(shop: ReturnsShop) -> None:
    ticket = ask_as(shop, "Jane@Example.COM")
    assert shop.status(ticket) == "label_sent"
    assert [it.sender for it in shop.merchant.labels.bought] == [HOME]


def test_a_stranger_does_not_hold_up_the_owners_return(shop: ReturnsShop) -> None:
    ask_as(shop, MALLORY)
    assert shop.status(ask_as(shop, JANE)) == "label_sent"


def test_a_policys_no_is_not_told_to_a_stranger(shop: ReturnsShop) -> None:
    shop.merchant.rules.outcome = Outcome.REJECT
    shop.merchant.rules.why = "SKU-001 could come back until 2024-01-31."
    ticket = ask_as(shop, MALLORY)
    assert shop.status(ticket) == "needs_review"
    assert "rejected" not in shop.merchant.notifier.kinds


def test_a_stranger_is_not_paid_without_a_parcel(shop: ReturnsShop) -> None:
    shop.merchant.rules.returnless = True
    ticket = ask_as(shop, MALLORY)
    assert shop.fake.refunds == []
    shop.put(ticket, "approved")
    assert shop.status(ticket) == "refunded"
    assert [it.amount for it in shop.fake.refunds] == [usd("149.00")]


def test_one_approval_settles_it_to_the_end(shop: ReturnsShop) -> None:
    ticket = ask_as(shop, MALLORY)
    shop.put(ticket, "approved")
    assert shop.status(ticket) == "label_sent"
    shop.connector.returns.receive(ticket.id, condition="good", who="Bob")
    shop.work()
    assert shop.status(ticket) == "refunded"
    assert len(shop.fake.refunds) == 1
    assert shop.story(ticket).count("owner approved") == 1


@pytest.mark.parametrize("status", ["approved", "label_sent", "item_received", "refunded"])
def test_wherever_a_ticket_is_brought_by_hand_a_person_is_asked_first(
    shop: ReturnsShop, status: str
) -> None:
    ticket = shop.ticket(status, condition="good")
    shop.client.tickets.update(ticket.id, customer_email=MALLORY)
    shop.arrive(ticket)
    assert shop.status(ticket) == "needs_review"
    assert (shop.fake.refunds, shop.merchant.labels.bought) == ([], [])
    assert not {"approved", "label_sent", "received"} & set(shop.merchant.notifier.kinds)


def test_an_approval_is_for_the_order_and_the_address_that_a_person_saw(shop: ReturnsShop) -> None:
    shop.merchant.orders.known["5678"] = replace(JANES, id="5678")
    ticket = ask_as(shop, MALLORY)
    shop.set(ticket, order_id="5678")
    shop.put(ticket, "approved")
    assert shop.status(ticket) == "needs_review"
    shop.put(ticket, "approved")
    assert shop.status(ticket) == "label_sent"
    shop.client.tickets.update(ticket.id, customer_email="eve@evil.example")
    shop.connector.returns.receive(ticket.id, condition="good", who="Bob")
    shop.work()
    assert shop.status(ticket) == "needs_review"
    assert "received" not in shop.merchant.notifier.kinds
    assert shop.fake.refunds == []


def test_a_parcel_that_arrives_while_a_person_is_asked_waits_for_the_answer(
    shop: ReturnsShop,
) -> None:
    ticket = ask_as(shop, MALLORY)
    shop.connector.returns.receive(ticket.id, condition="good", who="Bob")
    shop.work()
    assert shop.status(ticket) == "needs_review"
    assert shop.fake.refunds == []
    shop.put(ticket, "approved")
    assert shop.status(ticket) == "refunded"


def test_the_merchants_own_backend_can_prove_an_order(shop: ReturnsShop) -> None:
    proof = shop.connector.proof("1234")
    relay = "x7k2@marketplace.example"
    assert shop.status(ask_as(shop, relay, order_proof=proof)) == "label_sent"
    others = shop.connector.proof("5678")
    assert shop.status(ask_as(shop, relay, order_proof=others)) == "needs_review"
    assert shop.status(ask_as(shop, relay, order_proof=proof[:-1])) == "needs_review"
    assert shop.connector.proof(" #1234") == proof


def test_without_an_address_the_label_names_nobody(shop: ReturnsShop) -> None:
    shop.merchant.orders.known["1234"] = replace(JANES, customer_email=None)
    assert shop.status(ask_as(shop, MALLORY)) == "label_sent"
    assert [it.sender for it in shop.merchant.labels.bought] == [None]


# Refunds alone: a ticket that is set to refunded, and no return.


@pytest.fixture
def plain(
    box: dispatch_sandbox.Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Workshop]:
    orders = Orders({"1234": JANES})

    def orders_of(_: Settings) -> SeveralOrders:
        return SeveralOrders([orders])

    monkeypatch.setattr("dispatch_returns.connector.connector.orders_of", orders_of)
    shop = Workshop(box, tmp_path, reconcile_every=0)
    shop.orders = orders  # type: ignore[attr-defined]
    yield shop
    shop.close()


def strangers(shop: Workshop, email: str = MALLORY) -> Ticket:
    ticket = shop.ticket()
    shop.client.tickets.update(ticket.id, customer_email=email)
    return ticket


def test_a_strangers_refund_is_held_without_a_return_too(plain: Workshop) -> None:
    ticket = strangers(plain)
    plain.run(ticket)
    refund = plain.refund(ticket)
    assert refund is not None
    assert (refund.state, refund.reason) == (State.HELD, "customer_differs")
    assert plain.now(ticket).status == "needs_review"
    plain.set(ticket, "refunded")
    plain.run(ticket)
    assert plain.fake.refunds == []


def test_a_person_can_approve_a_strangers_refund(plain: Workshop) -> None:
    from dispatch_returns.refunds import actions

    ticket = strangers(plain)
    plain.run(ticket)
    refund, service = plain.refund(ticket), plain.connector.refunds
    assert refund is not None
    plain.client.tickets.update(ticket.id, customer_email="eve@evil.example")
    facts = plain.connector.facts(plain.now(ticket))
    assert actions.approve(service, refund.id, who="Ann", facts=facts).state is State.HELD
    facts = plain.connector.facts(plain.now(ticket))
    assert actions.approve(service, refund.id, who="Ann", facts=facts).state is State.REQUESTED
    plain.work()
    assert len(plain.fake.refunds) == 1


def test_the_owners_refund_is_paid_as_ever(plain: Workshop) -> None:
    ticket = plain.ticket()
    plain.run(ticket)
    assert plain.now(ticket).custom_fields["refund_status"] == "succeeded"


def test_an_order_that_cannot_be_read_holds_the_refund_or_puts_it_off(plain: Workshop) -> None:
    orders: Orders = plain.orders  # type: ignore[attr-defined]
    orders.error = OrderError("the shop is away", retryable=True)
    ticket = plain.ticket()
    plain.run(ticket)
    assert plain.refund(ticket) is None
    orders.error = OrderError("order 1234: line 1: price: is missing")
    plain.work(minutes=10)
    refund = plain.refund(ticket)
    assert refund is not None
    assert refund.reason == "order_unreadable"


PAYER = "payer@example.com"


@pytest.mark.parametrize(("paid_by", "goes_to"), [(PAYER, PAYER), (None, JANE)])
def test_instructions_go_to_who_paid_or_ordered_whatever_the_ticket_says(
    plain: Workshop, paid_by: str | None, goes_to: str
) -> None:
    ticket = strangers(plain)
    proof = plain.connector.proof("1234")
    plain.set(ticket, order_proof=proof)
    payment = plain.fake.payment

    def with_address(ref: object) -> object:
        return replace(payment(ref), email=paid_by)  # type: ignore[arg-type]

    plain.fake.payment = with_address  # type: ignore[method-assign, assignment]
    plain.run(ticket)
    assert [it.instructions_email for it in plain.fake.requests] == [goes_to]


# What a customer can write is a customer's word.

WORD = {"received_date": "2024-01-15", "condition": "good"}


def test_a_receipt_that_came_with_the_request_is_none(shop: ReturnsShop) -> None:
    ticket = ask_as(shop, JANE, **WORD)
    shop.put(ticket, "refunded", refund_amount=149)
    assert shop.status(ticket) == "needs_review"
    assert [it.reason for it in shop.refunds(ticket)] == ["evidence_missing"]
    assert shop.fake.refunds == []


def test_a_condition_that_came_with_the_request_is_not_the_warehouses(shop: ReturnsShop) -> None:
    ticket = ask_as(shop, JANE, received_date="2023-12-01", condition="like new")
    shop.put(ticket, "item_received")
    (receipt,) = shop.receipts(ticket)
    assert [line["condition"] for line in receipt.lines] == [None]
    assert receipt.received_date == shop.clock().date().isoformat()


def test_what_the_warehouse_writes_after_the_request_counts(shop: ReturnsShop) -> None:
    ticket = ask_as(shop, JANE, received_date="2023-12-01", condition="like new")
    shop.put(ticket, "item_received", received_date="2024-01-16", condition="good")
    assert shop.status(ticket) == "refunded"
    (receipt,) = shop.receipts(ticket)
    assert (receipt.received_date, receipt.lines[0]["condition"]) == ("2024-01-16", "good")


def test_a_receipt_that_was_recorded_is_evidence_whatever_came_with_the_request(
    shop: ReturnsShop,
) -> None:
    ticket = ask_as(shop, JANE, received_date=shop.clock().date().isoformat(), condition="good")
    shop.connector.returns.receive(ticket.id, condition="good", who="Bob")
    shop.work()
    assert shop.status(ticket) == "refunded"
    assert len(shop.fake.refunds) == 1


def test_without_a_request_the_fields_of_a_refund_count(plain: Workshop) -> None:
    ticket = plain.ticket(**WORD)
    plain.run(ticket)
    assert len(plain.fake.refunds) == 1


def test_an_old_ticket_is_judged_when_it_becomes_a_return(shop: ReturnsShop) -> None:
    ticket = shop.ticket("open")
    shop.clock.turn(days=200)
    shop.put(ticket, "return_requested")
    assert shop.merchant.rules.asked[0][0].requested_at == shop.clock()
    shop.work(days=3)
    shop.put(ticket, "return_requested")
    assert shop.row(ticket).requested_at == shop.merchant.rules.asked[0][0].requested_at


def test_a_request_that_waits_for_us_is_judged_when_its_ticket_was_made(shop: ReturnsShop) -> None:
    ticket = shop.ticket("return_requested")
    shop.clock.turn(days=900)
    shop.event(ticket.id, kind="ticket.created")
    shop.work(days=1)
    assert shop.merchant.rules.asked[0][0].requested_at == shop.now(ticket).created_at
