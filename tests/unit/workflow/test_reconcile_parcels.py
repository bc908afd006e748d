"""Comparing the books of a return that came in two parcels: one ticket, two refunds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatch_returns import sandbox
from dispatch_returns.api import Ticket
from dispatch_returns.reconcile.differences import Cause, Difference
from dispatch_returns.store import Store
from tests.support.desk import usd
from tests.support.returns import order
from tests.support.returns_shop import ReturnsShop
from tests.support.stores import forget_refund


@pytest.fixture
def shop(box: sandbox.Sandbox, tmp_path: Path, any_store: Store) -> Iterator[ReturnsShop]:
    """A shop whose workspace has no tickets but its own."""
    box.state.reset()
    shop = ReturnsShop(box, tmp_path, store=any_store)
    for key in ("return_requested", "eligibility_check", "approved", "label_sent"):
        shop.client.statuses.create(key=key, name=key)
    for key in ("item_received", "refunded", "needs_review", "rejected"):
        shop.client.statuses.create(key=key, name=key)
    yield shop
    shop.close()


def two_parcels(shop: ReturnsShop) -> Ticket:
    shop.merchant.orders.known["1234"] = order(A="10.00", B="20.00")
    ticket = shop.ask("A", "B")
    for sku in ("A", "B"):
        shop.connector.returns.receive(ticket.id, lines=[sku], who="Bob")
        shop.work()
    assert [r.amount for r in shop.refunds(ticket)] == [usd("10.00"), usd("20.00")]
    return ticket


def compare(shop: ReturnsShop, *, fix: bool = False) -> list[Difference]:
    found: list[Difference] = []
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
