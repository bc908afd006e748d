"""Every order source under one contract: what it says adds up to what was charged.

A source of your own is held to it by a class that inherits `OrderSourceContract`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, ClassVar, NamedTuple

import httpx
import pytest
from sqlalchemy import create_engine, text

from dispatch_returns.errors import OrderError
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_returns.returns.orders.model import Order, OrderSource
from dispatch_returns.returns.orders.shopify import ShopifyOrders
from dispatch_returns.returns.orders.sql import SqlOrders
from dispatch_returns.returns.orders.stripe import StripeOrders
from dispatch_returns.returns.orders.ticket import TicketOrders
from dispatch_returns.returns.orders.woocommerce import WooCommerceOrders
from dispatch_returns.returns.policy.policy import ReturnPolicy
from dispatch_returns.returns.policy.verdict import Item
from tests.support.api_server import ApiServer, Received, Reply
from tests.support.order_shops import document, ticket


class Line(NamedTuple):
    """A line in the shop's books: net prices, tax and discount of the whole line."""

    sku: str | None
    pieces: int
    price: str
    tax: str = "0.00"
    discount: str = "0.00"


@dataclass(frozen=True)
class Bought:
    """What the shop knows of an order, in its own books (USD, major units)."""

    lines: tuple[Line, ...] = (Line("A", 2, "10.00", "1.90", "3.00"), Line("B", 1, "40.00", "3.80"))
    shipping: str = "4.90"
    charged: str = "67.60"
    fee: str = "0.00"
    credit: str = "0.00"
    refunded: str = "0.00"
    removed: Mapping[int, int] = field(default_factory=dict[int, int])
    cancelled: bool = False


ORDINARY = Bought()


class OrderSourceContract:
    """What every order source must do. ``cannot`` names what the shop has no way to say."""

    cannot: ClassVar[Mapping[str, str]] = {}

    def serve(self, bought: Bought) -> OrderSource:
        """Return the source under test, with `bought` as the order 1234."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _unless_it_cannot(self, request: pytest.FixtureRequest) -> None:
        if why := self.cannot.get(request.function.__name__):
            pytest.skip(f"unsupported: {why}")

    @pytest.fixture(autouse=True)
    def _closing(self) -> Iterator[None]:
        with ExitStack() as self.stack:
            yield

    def order(self, bought: Bought) -> Order:
        found = self.serve(bought).order("1234", ticket(**self.fields))
        assert found is not None
        return found

    fields: Mapping[str, Any] = {}

    def test_the_sums_of_an_ordinary_order_are_what_was_charged(self) -> None:
        order = self.order(ORDINARY)
        assert order.problem() is None
        assert order.charged == order.total == Money(6760, "USD")
        assert [(it.sku, it.quantity, str(order.paid(it))) for it in order.lines] == [
            ("A", 2, "18.90 USD"),
            ("B", 1, "43.80 USD"),
        ]

    def test_a_whole_return_pays_just_what_was_charged(self) -> None:
        for bought in (ORDINARY, replace(ORDINARY, fee="5.00", charged="72.60")):
            order = self.order(bought)
            items = [Item(it.sku, it.quantity, "good") for it in order.lines]
            policy = ReturnPolicy.of(version="1", shipping="full_return")
            found = policy.inspect(order, items, announced=items)
            assert (found.pays, str(found.breakdown.total)) == (True, f"{bought.charged} USD")

    def test_a_difference_that_nothing_explains_is_a_problem(self) -> None:
        for charged in ("67.00", "120.00"):  # store credit that no line shows; an overcapture
            assert "add up to 67.60 USD" in (
                self.order(replace(ORDINARY, charged=charged)).problem() or ""
            )

    def test_a_gift_card_is_a_problem(self) -> None:
        order = self.order(replace(ORDINARY, credit="20.00", charged="47.60"))
        assert order.credit == Money(2000, "USD")
        assert "gift card or store credit" in (order.problem() or "")

    def test_an_order_that_was_cancelled_is_a_problem(self) -> None:
        assert "cancelled" in (self.order(replace(ORDINARY, cancelled=True)).problem() or "")

    def test_a_refund_is_said_and_what_it_was_for(self) -> None:
        order = self.order(replace(ORDINARY, refunded="43.80", removed={1: 1}))
        assert order.refunded == Money(4380, "USD")
        assert [it.removed for it in order.lines] == [0, 1]
        assert order.problem() is None

    def test_a_refund_of_which_nobody_says_what_for_is_a_problem(self) -> None:
        order = self.order(replace(ORDINARY, refunded="10.00"))
        assert "already refunded 10.00 USD" in (order.problem() or "")
        assert order.problem({"B": 1}) is None  # it was ours

    def test_an_order_without_refunds_says_so(self) -> None:
        assert self.order(ORDINARY).refunded == Money(0, "USD")

    def test_articles_without_an_sku_are_not_one_article(self) -> None:
        lines = (Line(None, 1, "10.00"), Line(None, 1, "90.00"))
        order = self.order(replace(ORDINARY, lines=lines, charged="104.90"))
        assert len({it.sku for it in order.lines}) == 2
        assert order.problem() is None

    def test_another_order_is_not_this_one(self) -> None:
        if not self.fields:  # what a ticket carries is its order, whatever it is called
            assert self.serve(ORDINARY).order("4711", ticket()) is None


NO_SKU = "the SKU is required"


class _Records(OrderSourceContract):
    cannot: ClassVar = {"test_articles_without_an_sku_are_not_one_article": NO_SKU}

    def head(self, bought: Bought) -> dict[str, Any]:
        return {
            "currency": "USD",
            "order_fees": bought.fee,
            "order_total": bought.charged,
            "order_credit": bought.credit,
            "order_refunded": bought.refunded,
            "order_hold": "was cancelled" if bought.cancelled else None,
        }

    def lines(self, bought: Bought) -> list[dict[str, Any]]:
        return [
            {
                "sku": it.sku,
                "quantity": it.pieces,
                "price": it.price,
                "tax": it.tax,
                "discount": it.discount,
                "removed": bought.removed.get(number, 0),
            }
            for number, it in enumerate(bought.lines)
        ]


class TestSql(_Records):
    def serve(self, bought: Bought) -> OrderSource:
        engine = create_engine("sqlite://")
        self.stack.callback(engine.dispose)
        head = {**self.head(bought), "shipping": bought.shipping, "placed_at": "2026-01-02"}
        rows = [head | line | {"number": "1234"} for line in self.lines(bought)]
        with engine.begin() as conn:
            conn.execute(text(f"create table o ({', '.join(rows[0])})"))
            names = ", ".join(f":{name}" for name in rows[0])
            conn.execute(text(f"insert into o values ({names})"), rows)
        chosen = ", ".join(name for name in rows[0] if name != "number")
        return SqlOrders(engine, f"select {chosen} from o where number = :order_id")


class TestTicket(_Records):
    def serve(self, bought: Bought) -> OrderSource:
        self.fields = {
            **self.head(bought),
            "order_shipping": bought.shipping,
            "order_lines": self.lines(bought),
        }
        return TicketOrders()


PAID_LESS = "it is refused: the order cost more than was paid with the intent"


class TestStripe(_Records):
    """Stripe says only what was paid; all other sums are what the merchant wrote beside it."""

    cannot: ClassVar = {
        **_Records.cannot,
        "test_a_difference_that_nothing_explains_is_a_problem": PAID_LESS,
        "test_a_gift_card_is_a_problem": PAID_LESS,
    }

    def serve(self, bought: Bought) -> OrderSource:
        head = {name: it for name, it in self.head(bought).items() if it is not None}
        intent = {
            "id": "pi_1",
            "object": "payment_intent",
            "created": 1767348000,
            "currency": "usd",
            "status": "succeeded",
            "livemode": False,
            "amount_received": int(Decimal(bought.charged) * 100),
            "metadata": head
            | {
                "order_id": "1234",
                "order_shipping": bought.shipping,
                "order_lines": json.dumps(self.lines(bought)),
            },
        }

        def answer(request: httpx.Request) -> httpx.Response:
            if request.url.path == "/v1/payment_intents/pi_1":
                return httpx.Response(200, json=intent)
            found = [intent] if "'1234'" in request.url.params["query"] else []
            page = {"object": "search_result", "data": found, "has_more": False}
            return httpx.Response(200, json=page)

        http = self.stack.enter_context(httpx.Client(transport=httpx.MockTransport(answer)))
        return StripeOrders(StripeAdapter("sk_test_1", http_client=http))

    @pytest.mark.parametrize("credit", ["0.00", "20.00"])
    def test_an_order_that_cost_more_than_was_paid_is_refused(self, credit: str) -> None:
        with pytest.raises(OrderError, match="cost more than was paid with the intent"):
            self.order(replace(ORDINARY, credit=credit, charged="47.60"))

    def test_a_sum_that_the_metadata_does_not_explain_is_a_problem(self) -> None:
        order = self.order(replace(ORDINARY, charged="120.00"))
        assert "add up to 67.60 USD" in (order.problem() or "")


class _Served(OrderSourceContract):
    @pytest.fixture(autouse=True)
    def _server(self) -> Iterator[None]:
        with ApiServer().running() as self.server:
            yield

    @property
    def url(self) -> str:
        return self.server.url.removesuffix("/v1")


class TestWooCommerce(_Served):
    cannot: ClassVar = {
        "test_a_gift_card_is_a_problem": "the total is lower, and nothing says why",
    }

    def serve(self, bought: Bought) -> OrderSource:
        order = document("woocommerce") | {
            "id": 1234,
            "number": "1234",
            "status": "cancelled" if bought.cancelled else "completed",
            "total": bought.charged,
            "shipping_total": bought.shipping,
            "shipping_tax": "0.00",
            "line_items": [self.line(number, it) for number, it in enumerate(bought.lines)],
            "fee_lines": [{"id": 9, "name": "Fee", "total": bought.fee, "total_tax": "0.00"}],
        }
        refund: dict[str, Any] = {"id": 77, "line_items": []}
        for number, count in bought.removed.items():
            meta = [{"id": 1, "key": "_refunded_item_id", "value": str(10 + number)}]
            refund["line_items"].append({"id": 5, "quantity": -count, "meta_data": meta})
        if Decimal(bought.refunded):
            order["refunds"] = [{"id": 77, "reason": "", "total": f"-{bought.refunded}"}]

        def answer(received: Received) -> Reply:
            path = received.path.removeprefix("/wp-json/wc/v3")
            found: dict[str, Any] = {"/orders/1234": order, "/products": [], "/orders": []}
            found["/orders/1234/refunds"] = [refund]
            return Reply(body=found[path]) if path in found else Reply(404, {"code": "none"})

        self.server.otherwise = answer
        source = WooCommerceOrders(self.url, "ck_1", "cs_1")
        self.stack.callback(source.close)
        return source

    def line(self, number: int, it: Line) -> dict[str, Any]:
        listed = Decimal(it.price) * it.pieces
        return {
            "id": 10 + number,
            "name": "Article",
            "product_id": 0 if it.sku is None else 90 + number,
            "variation_id": 0,
            "quantity": it.pieces,
            "sku": it.sku,
            "subtotal": str(listed),
            "total": str(listed - Decimal(it.discount)),
            "total_tax": it.tax,
        }


class TestShopify(_Served):
    def serve(self, bought: Bought) -> OrderSource:
        paid = [("stripe", bought.charged), ("gift_card", bought.credit)]
        order: dict[str, Any] = document("shopify")["data"]["orders"]["nodes"][0] | {
            "presentmentCurrencyCode": "USD",
            "taxesIncluded": False,
            "cancelledAt": "2026-01-03T09:00:00Z" if bought.cancelled else None,
            "totalRefundedSet": bag(bought.refunded),
            "totalTipReceivedSet": bag(bought.fee),
            "originalTotalDutiesSet": None,
            "shippingLines": {
                "nodes": [{"discountedPriceSet": bag(bought.shipping), "taxLines": []}]
            },
            "transactions": [transaction(gateway, it) for gateway, it in paid if Decimal(it)],
            "lineItems": {
                "nodes": [self.line(bought, number, it) for number, it in enumerate(bought.lines)],
                "pageInfo": {"hasNextPage": False, "endCursor": None},
            },
        }

        def answer(received: Received) -> Reply:
            asked = received.json["variables"]
            if "id" in asked:
                return Reply(body={"data": {"order": order}})
            nodes = [order] if order["name"] in asked["query"] else []
            return Reply(body={"data": {"orders": {"nodes": nodes}}})

        self.server.otherwise = answer
        source = ShopifyOrders(self.url, "shpat_1")
        self.stack.callback(source.close)
        return source

    def line(self, bought: Bought, number: int, it: Line) -> dict[str, Any]:
        return {
            "id": f"gid://shopify/LineItem/{number}",
            "sku": it.sku,
            "title": "Article",
            "quantity": it.pieces,
            "currentQuantity": it.pieces - bought.removed.get(number, 0),
            "originalUnitPriceSet": bag(it.price),
            "discountAllocations": [{"allocatedAmountSet": bag(it.discount)}],
            "taxLines": [{"priceSet": bag(it.tax)}],
            "product": None,
        }

    @pytest.mark.parametrize("status", ["VOIDED", "PENDING", "REFUNDED", "AUTHORIZED"])
    def test_what_was_never_paid_or_is_refunded_is_a_problem(self, status: str) -> None:
        order = self.edited(displayFinancialStatus=status)
        assert (order.hold or "").endswith("in Shopify")

    def test_a_voided_authorisation_beside_a_second_one_is_not_the_payment(self) -> None:
        order = self.edited(
            transactions=[
                transaction("stripe", "67.60", id="t1", kind="AUTHORIZATION", paymentId="pi_no"),
                transaction(
                    "stripe", "67.60", id="t2", kind="VOID", parentTransaction={"id": "t1"}
                ),
                transaction("stripe", "67.60", id="t3", kind="AUTHORIZATION", paymentId="pi_yes"),
                transaction(
                    "stripe", "67.60", id="t4", kind="CAPTURE", parentTransaction={"id": "t3"}
                ),
            ]
        )
        assert order.payment is not None
        assert (order.payment.id, order.problem()) == ("pi_yes", None)

    def test_an_order_of_two_payments_is_a_problem(self) -> None:
        paid = [
            transaction("stripe", "60.00", id="t1", paymentId="pi_1"),
            transaction("stripe", "7.60", id="t2", paymentId="pi_2"),
        ]
        order = self.edited(transactions=paid)
        assert (order.payment, order.problem()) == (
            None,
            "The order was paid with several payments in Shopify.",
        )

    def edited(self, **changes: Any) -> Order:
        source = self.serve(ORDINARY)
        answer = self.server.otherwise
        assert answer is not None

        def changed(received: Received) -> Reply:
            body = json.loads(json.dumps(answer(received).body))
            data = body["data"]
            (data["order"] if "order" in data else data["orders"]["nodes"][0]).update(changes)
            return Reply(body=body)

        self.server.otherwise = changed
        found = source.order("1234", ticket())
        assert found is not None
        return found


def bag(amount: str) -> dict[str, Any]:
    return {"presentmentMoney": {"amount": amount, "currencyCode": "USD"}}


def transaction(gateway: str, amount: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"gid://shopify/OrderTransaction/{gateway}",
        "kind": "SALE",
        "status": "SUCCESS",
        "gateway": gateway,
        "authorizationCode": None,
        "paymentId": "pi_3Nabc" if gateway == "stripe" else None,
        "parentTransaction": None,
        "amountSet": bag(amount),
    } | more
