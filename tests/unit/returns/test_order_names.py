"""One order has one name, however a ticket spells it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.order_ids import plain_id, same_order
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.policy.book import PolicyBook
from tests.support.desk import usd
from tests.support.one_order import policy
from tests.support.purchases import line, order
from tests.support.returns_shop import ReturnsShop
from tests.support.workshop import EMAIL

SPELLINGS = ("1234", "#1234", " 1234 ", "gid://shop/Order/5678")


class Shop:
    """Knows one order by several names, as Shopify does, and says its own id."""

    name = "shop"
    bought = replace(
        order(
            line("CUP", 1, 2500, currency="USD"),
            line("LAMP", 1, 9000, currency="USD"),
            currency="USD",
        ),
        id="gid://shop/Order/5678",
        number="1234",
    )

    def order(self, order_id: str, ticket: Ticket) -> Order | None:
        known = {"1234", "gid://shop/Order/5678"}
        return self.bought if plain_id(order_id) in known else None


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[ReturnsShop]:
    parts = {"book": PolicyBook([policy(returnless_under="30 USD")]), "orders": Shop()}
    shop = ReturnsShop(box, tmp_path, parts=parts)
    shop.fake.add_payment("pi_1", usd("115.00"))
    yield shop
    shop.close()


def ask(shop: ReturnsShop, order_id: str, *items: str) -> Ticket:
    ticket = shop.connector.returns.request(
        order_id=order_id,
        items=items,
        reason="broken",
        customer_email=EMAIL,
        fields={"payment_intent": "pi_1"},
    )
    shop.work()
    return ticket


def test_an_article_is_paid_once_whatever_name_the_order_goes_by(shop: ReturnsShop) -> None:
    tickets = [ask(shop, spelling, "CUP") for spelling in SPELLINGS]
    assert [shop.status(it) for it in tickets] == ["refunded", *["needs_review"] * 3]
    assert [str(refund.amount) for refund in shop.fake.refunds] == ["25.00 USD"]


def test_a_ticket_cannot_send_the_orders_money_to_another_card(
    shop: ReturnsShop, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(Shop.bought, payment=PaymentRef("payment_intent", "pi_own"))
    monkeypatch.setattr(Shop, "bought", own)
    shop.fake.add_payment("pi_own", usd("115.00"))
    ticket = ask(shop, "1234", "CUP")
    assert shop.status(ticket) == "needs_review"
    assert [(it.state, it.reason) for it in shop.refunds(ticket)] == [("held", "payment_differs")]
    assert not shop.fake.refunds


def test_two_requests_at_once_under_two_names_see_each_other(shop: ReturnsShop) -> None:
    first, second = (
        shop.connector.returns.request(
            order_id=it, items=["LAMP"], reason="broken", customer_email=EMAIL
        )
        for it in ("1234", "gid://shop/Order/5678")
    )
    shop.work()
    assert sorted((shop.status(first), shop.status(second))) == ["label_sent", "needs_review"]


def test_a_customer_is_shown_the_number_and_never_the_shops_own_id(shop: ReturnsShop) -> None:
    ticket = ask(shop, "#1234", "SOFA")
    assert "gid://" not in str([it.body for it in shop.client.comments.list(ticket.id)])
    assert shop.row(ticket).order_id == "#1234"


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("#1234", "1234", True),
        (" # 1234", "1234 ", True),
        ("so-1234", "SO-1234", True),
        ("#", "#", True),
        ("1234", "01234", False),
        ("1234", "1234-A", False),
        ("##1", "1", False),
    ],
)
def test_spaces_a_hash_and_capitals_make_no_other_order(one: str, other: str, same: bool) -> None:
    assert same_order(one, other) is same
