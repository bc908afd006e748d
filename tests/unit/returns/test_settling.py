"""What several returns of one order are paid in all: each piece, and the way out, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns.receipts import ReceiptState
from tests.support.one_order import BOUGHT, OrderShop

FAULTY = {"name": "faulty", "reasons": ["faulty"], "shipping": "always"}


OpenShop = Callable[..., OrderShop]


@pytest.fixture
def open_shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[OpenShop]:
    opened: list[OrderShop] = []

    def open_one(**keys: Any) -> OrderShop:
        opened.append(OrderShop(box, tmp_path, **keys))
        return opened[-1]

    yield open_one
    for shop in opened:
        shop.close()


# Which receipts of other returns count.


def test_a_piece_for_which_a_person_gave_the_amount_is_not_paid_again(open_shop: OpenShop) -> None:
    shop = open_shop(shipping="always")
    shop.orders.known.clear()
    first = shop.open()
    shop.bring(first)
    assert shop.status(first) == "needs_review", "nobody knows the order"
    shop.put(first, "refunded", refund_amount=Decimal("8.32"))
    shop.orders.known["1234"] = BOUGHT
    for _ in range(2):
        shop.bring(shop.open())
    assert shop.paid == ["8.32", "3.33", "3.34"], "the last cent once, and no 4.99 again"


def test_what_a_person_has_not_accepted_takes_nothing_from_another_return(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(shipping="always")
    doubtful, other = shop.open(), shop.open()
    shop.bring(doubtful, condition="wet")
    assert shop.now(doubtful).custom_fields["refund_amount"] == Decimal("8.32")
    shop.bring(other)
    assert shop.paid == ["8.32"]
    shop.put(doubtful, "rejected")
    shop.bring(shop.open("A", "A"), "A", "A")
    assert shop.paid == ["8.32", "6.67"]


@pytest.mark.parametrize("status", ["refunded", "item_received"])
def test_a_person_is_asked_again_where_another_return_was_settled_meanwhile(
    open_shop: OpenShop, status: str
) -> None:
    shop = open_shop(shipping="always")
    doubtful, other = shop.open(), shop.open()
    shop.bring(doubtful, condition="wet")
    shop.bring(other)
    shop.put(doubtful, status)
    assert shop.status(doubtful) == "needs_review"
    assert shop.now(doubtful).custom_fields["refund_amount"] == Decimal("3.33")
    assert "refund amount is now 3.33 USD" in shop.notes(doubtful)[-1]
    assert shop.paid == ["8.32"]
    shop.put(doubtful, status)
    assert shop.paid == ["8.32", "3.33"]
    assert [r.state for r in shop.receipts(doubtful)] == [ReceiptState.ACCEPTED]


def test_a_persons_own_amount_is_not_asked_about_again(open_shop: OpenShop) -> None:
    shop = open_shop(shipping="always")
    doubtful, other = shop.open(), shop.open()
    shop.bring(doubtful, condition="wet")
    shop.bring(other)
    shop.put(doubtful, "refunded", refund_amount=Decimal("5.00"))
    assert shop.paid == ["8.32", "5.00"]


def test_what_the_warehouse_gives_less_for_is_asked_about_only_where_that_is_too_much_now(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(shipping="always")
    little, much, other = shop.open(), shop.open(), shop.open()
    for ticket, amount in ((little, "2.00"), (much, "6.00")):
        day = {"received_date": "2024-01-20", "condition": "wet"}
        shop.put(ticket, "item_received", refund_amount=Decimal(amount), **day)
    shop.bring(other)
    shop.put(little, "refunded")
    assert shop.paid == ["8.32", "2.00"]
    shop.put(much, "refunded")
    assert shop.now(much).custom_fields["refund_amount"] == Decimal("3.34")


# Returns that are over.


@pytest.mark.parametrize("status", ["rejected", "expired"])
def test_what_was_paid_of_a_return_that_is_over_is_not_paid_again(
    open_shop: OpenShop, status: str
) -> None:
    shop = open_shop(shipping="always")
    first = shop.open("A", "A")
    shop.bring(first, "A")
    shop.put(first, status)
    second = shop.open("A", "A")
    assert shop.status(second) == "label_sent"
    shop.bring(second, "A", "A")
    assert shop.paid == ["8.32", "6.67"]
    third = shop.ask("A")
    assert shop.status(third) == "needs_review"
    assert any("0 are not in another return" in note for note in shop.notes(third))


def test_what_was_paid_of_a_ticket_that_is_gone_is_not_paid_again(open_shop: OpenShop) -> None:
    shop = open_shop(shipping="always")
    first, waiting = shop.open(), shop.open()
    shop.bring(first)
    shop.delete(first)
    assert shop.row(first).step == "gone"
    shop.bring(waiting)
    assert shop.paid == ["8.32", "3.33"]


@pytest.mark.parametrize("status", ["rejected", "expired", None])
def test_what_was_settled_and_never_paid_takes_nothing_from_another_return(
    open_shop: OpenShop, status: str | None
) -> None:
    shop = open_shop(shipping="always", refund_on_receipt=False)
    first, second = shop.open(), shop.open()
    shop.bring(first)
    assert shop.status(first) == "item_received"
    if status is None:
        shop.delete(first)
    else:
        shop.put(first, status)
    shop.bring(second)
    shop.put(second, "refunded")
    assert shop.paid == ["8.32"]


def test_a_held_refund_of_a_return_that_is_over_takes_nothing_from_another(
    open_shop: OpenShop,
) -> None:
    shop = open_shop(shipping="always")
    first = shop.open(payment_intent="pi_nobody")
    shop.bring(first)
    assert [refund.state for refund in shop.refunds(first)] == [State.HELD]
    second = shop.open()
    shop.bring(second)
    assert shop.paid == ["3.33"], "it may still be released"
    shop.put(first, "rejected")
    shop.bring(shop.open())
    assert shop.paid == ["3.33", "8.32"]


def test_a_rejection_that_is_taken_back_is_worked_out_anew(open_shop: OpenShop) -> None:
    shop = open_shop(shipping="always", refund_on_receipt=False)
    first, second = shop.open(), shop.open()
    shop.bring(first)
    shop.put(first, "rejected")
    assert "8.32 USD was not paid back" in shop.notes(first)[-1]
    shop.bring(second)
    shop.put(second, "refunded")
    shop.put(first, "refunded")
    assert shop.status(first) == "needs_review"
    shop.put(first, "refunded")
    assert shop.paid == ["8.32", "3.33"]


# The way out, where returns go by different rules.


@pytest.mark.parametrize("shipping", ["share", "full_return", "always", "never"])
def test_the_way_out_is_paid_back_once_whatever_rules_returns_go_by(
    open_shop: OpenShop, shipping: str
) -> None:
    shop = open_shop(shipping=shipping, rules=[FAULTY])
    shop.bring(shop.open(return_reason="faulty"))
    assert shop.paid == ["8.32"]
    for _ in range(2):
        shop.bring(shop.open())
    assert shop.paid == ["8.32", "3.33", "3.34"]


@pytest.mark.parametrize(
    ("shipping", "paid"),
    [("share", ["4.99", "6.66"]), ("full_return", ["3.33", "8.32"]), ("never", ["3.33", "8.32"])],
)
def test_a_rule_that_gives_the_way_out_gives_what_is_left_of_it(
    open_shop: OpenShop, shipping: str, paid: list[str]
) -> None:
    shop = open_shop(shipping=shipping, rules=[FAULTY])
    shop.bring(shop.open())
    shop.bring(shop.open(return_reason="faulty"))
    assert shop.paid == paid


def test_parcels_of_two_returns_in_turn_pay_the_order_and_no_more(open_shop: OpenShop) -> None:
    shop = open_shop(shipping="share")
    first, second = shop.open("A", "A"), shop.open()
    shop.bring(first, "A")
    shop.work(hours=25)  # else the same amount for another ticket may be the same refund
    shop.bring(second)
    shop.bring(first, "A")
    assert sum(map(Decimal, shop.paid)) == Decimal("14.99")


# Without a parcel, and after a correction.


def test_nothing_is_paid_without_a_return_where_nothing_is_left(open_shop: OpenShop) -> None:
    shop = open_shop(returnless_under="50 USD")
    one = shop.open("A", "A")
    assert shop.status(one) == "refunded"
    ticket = shop.ask("A", "A", "A")
    assert shop.status(ticket) == "needs_review"
    shop.put(ticket, "approved")
    shop.put(one, "rejected")


def test_a_persons_amount_that_stands_on_the_ticket_is_not_the_next_parcels(
    open_shop: OpenShop,
) -> None:
    shop = open_shop()
    ticket = shop.open("A", "A")
    shop.bring(ticket, "A", condition="wet")
    shop.put(ticket, "refunded", refund_amount=Decimal("1.00"))
    shop.put(ticket, "item_received", condition="new", received_date="2024-01-21")
    assert shop.paid == ["1.00", "3.33"]
