"""Comparing the books of a return that came in two parcels: one ticket, two refunds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import update

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.connector.reconcile.discrepancies import Cause, Discrepancy
from dispatch_returns.refunds import actions
from dispatch_returns.refunds.adapter import RefundStatus
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.returns.steps.receiving import facts_of
from dispatch_returns.store import Store, schema
from tests.support.desk import usd
from tests.support.returns import order
from tests.support.returns_shop import ReturnsShop
from tests.support.stores import forget_refund


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path, any_store: Store) -> Iterator[ReturnsShop]:
    """A shop whose workspace has no tickets but its own."""
    box.state.reset()
    shop = ReturnsShop(box, tmp_path, store=any_store)
    for key in ("return_requested", "eligibility_check", "approved", "label_sent"):
        shop.client.statuses.create(key=key, name=key)
    for key in ("item_received", "refunded", "needs_review", "rejected"):
        shop.client.statuses.create(key=key, name=key)
    yield shop
    shop.close()


def two_parcels(shop: ReturnsShop, **prices: str) -> Ticket:
    """A return whose two parcels arrived and were paid one after the other."""
    prices = {"A": "10.00", "B": "20.00"} | prices
    shop.merchant.orders.known["1234"] = order(**prices)
    ticket = shop.ask("A", "B")
    # Asked for by the test's clock, as the processor's refunds are made by it.
    asked = update(schema.returns).values(requested_at=shop.clock())
    shop.store.write("asked", lambda conn: conn.execute(asked))
    for sku in ("A", "B"):
        shop.connector.returns.receive(ticket.id, lines=[sku], who="Bob")
        shop.work()
    assert [r.amount for r in shop.refunds(ticket)] == [usd(it) for it in prices.values()]
    return ticket


def was_never_made(shop: ReturnsShop, refund: Refund) -> None:
    """Let the processor know nothing of a refund, nor of its key."""
    del shop.fake._made[refund.processor_id or ""]
    del shop.fake._answers[refund.idempotency_key]


def compare(shop: ReturnsShop, *, fix: bool = False) -> list[Discrepancy]:
    found: list[Discrepancy] = []
    shop.connector.reconciler.run(found.append, fix=fix)
    return found


def test_two_parcels_that_were_paid_are_no_difference(shop: ReturnsShop) -> None:
    two_parcels(shop)
    assert compare(shop) == []


def test_the_amount_of_the_newest_parcel_is_the_ones_that_the_ticket_shows(
    shop: ReturnsShop,
) -> None:
    ticket = two_parcels(shop)
    shop.set(ticket, refund_amount=10)
    (difference,) = compare(shop)
    assert difference.cause is Cause.TICKET_AMOUNT_DIFFERS
    assert difference.refund_id == shop.refunds(ticket)[1].id


def test_a_parcel_whose_row_was_lost_is_entered_again_and_not_paid_again(
    shop: ReturnsShop,
) -> None:
    ticket = two_parcels(shop)
    lost = shop.refunds(ticket)[1]
    forget_refund(shop.store, lost.id)
    assert Cause.NEVER_ENTERED in {it.cause for it in compare(shop)}
    compare(shop, fix=True)
    shop.work()
    assert [(r.ordinal, r.amount) for r in shop.refunds(ticket)] == [
        (1, usd("10.00")),
        (2, usd("20.00")),
    ]
    assert len(shop.fake.refunds) == 2


# An earlier parcel, of which the ticket says nothing any more.


def test_an_earlier_parcel_that_failed_is_found_and_retried_with_its_own_amount(
    shop: ReturnsShop,
) -> None:
    ticket = two_parcels(shop)
    first = shop.refunds(ticket)[0]
    assert first.processor_id is not None
    shop.fake.set_status(first.processor_id, RefundStatus.FAILED)
    shop.news(first.processor_id)
    shop.work()
    shop.put(ticket, "refunded")
    (found,) = compare(shop)
    assert found.cause is Cause.PARCEL_NOT_PAID
    assert (found.ticket_id, found.refund_id) == (ticket.id, first.id)
    assert found.detail == "parcel 1, 10.00 USD: failed, refund_failed"
    (left,) = compare(shop, fix=True)
    assert left.fixed is False, "the ticket shows the other parcel's amount: a person must say so"
    assert len(shop.fake.requests) == 2
    with shop.store.read() as conn:
        facts = facts_of(conn, shop.now(ticket), dispatch_sandbox.WORKSPACE, first)
    actions.retry(shop.connector.refunds, first.id, who="Ann", facts=facts)
    shop.work()
    assert [r.amount for r in shop.fake.requests] == [usd("10.00"), usd("20.00"), usd("10.00")]
    assert compare(shop) == []


@pytest.mark.parametrize("paid", [True, False])
def test_an_earlier_parcel_whose_row_was_lost_is_left_to_a_person(
    shop: ReturnsShop, *, paid: bool
) -> None:
    ticket = two_parcels(shop)
    first = shop.refunds(ticket)[0]
    forget_refund(shop.store, first.id)
    if not paid:
        was_never_made(shop, first)
    found = compare(shop, fix=True)
    assert {it.cause for it in found} == {Cause.PARCEL_NOT_ENTERED}
    assert {(it.ticket_id, it.refund_id, it.fixed) for it in found} == {
        (ticket.id, first.id, False)
    }
    assert [it.processor_id for it in found] == [first.processor_id, None][not paid :]
    assert found[-1].detail == "parcel 1, 10.00 USD"
    shop.work()
    assert [r.ordinal for r in shop.refunds(ticket)] == [2]
    assert len(shop.fake.requests) == 2


def test_an_earlier_parcel_that_a_person_gave_up_is_no_difference(shop: ReturnsShop) -> None:
    shop.merchant.orders.known["1234"] = order(A="10.00", B="20.00")
    ticket = shop.ask("A", "B")
    shop.connector.returns.receive(ticket.id, lines=["A"], who="Bob")
    with_cap = replace(shop.connector.refunds.limits, max_refund={"USD": Decimal(5)})
    shop.connector.refunds.intake.limits = with_cap
    shop.work()
    (first,) = shop.refunds(ticket)
    assert first.reason == "over_cap"
    shop.connector.refunds.intake.limits = shop.connector.refunds.limits
    actions.cancel(shop.connector.refunds, first.id, who="Ann", why="store credit instead")
    shop.work()
    shop.connector.returns.receive(ticket.id, lines=["B"], who="Bob")
    shop.work(hours=2)
    assert [str(r.state) for r in shop.refunds(ticket)] == ["canceled", "succeeded"]
    assert shop.status(ticket) == "refunded"
    assert compare(shop) == []


def test_a_second_parcel_of_the_same_amount_that_was_never_entered_is_found(
    shop: ReturnsShop,
) -> None:
    ticket = two_parcels(shop, B="10.00")
    second = shop.refunds(ticket)[1]
    forget_refund(shop.store, second.id)
    was_never_made(shop, second)
    (found,) = compare(shop)
    assert (found.cause, found.ticket_id) == (Cause.NEVER_ENTERED, ticket.id)
    assert [it.settled for it in compare(shop, fix=True)] == [True]
    shop.work()
    assert [(r.ordinal, r.amount) for r in shop.refunds(ticket)] == [
        (1, usd("10.00")),
        (2, usd("10.00")),
    ]
    assert compare(shop) == []


# What the processor has besides the parcels' own refunds.


@pytest.mark.parametrize(("amount", "parcel"), [("10.00", 1), ("20.00", 2)])
def test_a_second_refund_of_a_parcels_amount_is_shown_with_that_parcel(
    shop: ReturnsShop, amount: str, parcel: int
) -> None:
    ticket = two_parcels(shop)
    made = shop.fake.refund_externally("pi_1234", usd(amount))
    (found,) = compare(shop, fix=True)
    assert (found.cause, found.fixed) == (Cause.PAID_TWICE, False)
    assert found.refund_id == shop.refunds(ticket)[parcel - 1].id
    assert found.processor_id == made.processor_id


def test_a_refund_of_neither_parcels_amount_is_shown(shop: ReturnsShop) -> None:
    ticket = two_parcels(shop)
    made = shop.fake.refund_externally("pi_1234", usd("7.00"))
    (found,) = compare(shop)
    assert (found.cause, found.detail) == (Cause.EXTERNAL_REFUND, "7.00 USD")
    assert (found.ticket_id, found.processor_id) == (ticket.id, made.processor_id)


def test_a_refund_made_elsewhere_is_taken_over_by_the_parcel_that_was_never_entered(
    shop: ReturnsShop,
) -> None:
    ticket = two_parcels(shop)
    second = shop.refunds(ticket)[1]
    forget_refund(shop.store, second.id)
    was_never_made(shop, second)
    made = shop.fake.refund_externally("pi_1234", usd("20.00"))
    found = compare(shop, fix=True)
    assert [it.cause for it in found] == [Cause.MADE_ELSEWHERE, Cause.NEVER_ENTERED]
    assert {it.ticket_id for it in found} == {ticket.id}
    shop.work()
    taken = shop.refunds(ticket)[1]
    assert (taken.processor_id, taken.adopted) == (made.processor_id, True)
    assert compare(shop) == []
    assert len(shop.fake.requests) == 2
