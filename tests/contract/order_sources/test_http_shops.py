"""Shopify and WooCommerce, served over real HTTP from documents as they document them."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import pytest

from dispatch_returns.errors import ConfigurationError, OrderError
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.returns.labels.provider import Address
from dispatch_returns.returns.orders.model import Order, OrderSource
from dispatch_returns.returns.orders.registry import PLUGINS
from dispatch_returns.returns.orders.shopify import BY_ID, BY_NAME, MORE_LINES, ShopifyOrders
from dispatch_returns.returns.orders.woocommerce import WooCommerceOrders
from tests.support.api_server import ApiServer, Received, Reply
from tests.support.order_shops import by_name, document, query_cost, ticket

SECRET = "shpat_s3cret"
Make = Callable[[str], ShopifyOrders | WooCommerceOrders]


def shopify_at(url: str) -> ShopifyOrders:
    return ShopifyOrders(url, SECRET)


def woocommerce_at(url: str) -> WooCommerceOrders:
    return WooCommerceOrders(url, "ck_1", SECRET)


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer().running() as server:
        yield server


@pytest.fixture
def url(server: ApiServer) -> str:
    return server.url.removesuffix("/v1")


@pytest.fixture
def shopify(url: str) -> Iterator[ShopifyOrders]:
    with closing(shopify_at(url)) as source:
        yield source


@pytest.fixture
def woocommerce(url: str) -> Iterator[WooCommerceOrders]:
    with closing(woocommerce_at(url)) as source:
        yield source


def ask(source: OrderSource, order_id: str = "1234") -> Order | None:
    return source.order(order_id, ticket())


def known(found: Order | None) -> Order:
    assert found is not None
    return found


@pytest.mark.parametrize("make", [shopify_at, woocommerce_at])
@pytest.mark.parametrize(
    "wrong",
    [
        (Reply(401, {"errors": SECRET}), False, "refused the key (401): check "),
        (Reply(403, {"errors": SECRET}), False, "refused the key (403): check "),
        (Reply(429, b""), True, "takes no more requests at the moment (429)"),
        (Reply(500, SECRET), True, "failed (500)"),
        (Reply(302, b"", {"Location": "/elsewhere"}), False, "answered 302: check its address"),
        (Reply(418, b""), False, "answered 418: check its address"),
        (Reply(200, b'{"data": '), True, "did not answer with JSON"),
        (Reply(200, b"<html>s3cret</html>"), True, "did not answer with JSON"),
        (Reply(200, [SECRET]), False, "an undocumented answer"),
        (Reply(200, {"data": {"orders": {"nodes": [{}]}}}), False, "an undocumented answer"),
        (Reply(hang_up=True), True, "cannot be reached (RemoteProtocolError)"),
    ],
)
def test_what_goes_wrong_is_said_without_secrets(
    server: ApiServer, url: str, make: Make, wrong: tuple[Reply, bool, str]
) -> None:
    reply, retryable, words = wrong
    server.reply(reply)
    with closing(make(url)) as source, pytest.raises(OrderError) as caught:
        ask(source)
    assert words in str(caught.value)
    assert caught.value.retryable is retryable
    shown = f"{caught.value!r} {caught.value.__cause__!r} {source!r}"
    assert "s3cret" not in shown
    assert "jane" not in shown
    assert len(server.received) == 1  # nothing is repeated here


@pytest.mark.parametrize("make", [shopify_at, woocommerce_at])
@pytest.mark.parametrize(
    "url",
    [
        "ftp://shop.example",
        "http://shop.example",
        "https://u:p@shop.example",
        "https://x?y",
        "h://",
    ],
)
def test_an_address_that_would_give_the_key_away_is_refused(make: Make, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^(shop|url): "):
        make(url)


def test_shopify_an_order_is_read_as_it_was_paid(server: ApiServer, shopify: ShopifyOrders) -> None:
    server.reply_json(*by_name(document("shopify")))
    order = known(ask(shopify))
    shoe, sale = order.lines
    assert [(it.sku, it.quantity, str(it.price)) for it in order.lines] == [
        ("SHOE-42", 3, "33.33 EUR"),
        ("SALE-1", 1, "5.00 EUR"),
    ]
    assert (str(shoe.discount), str(shoe.tax), shoe.category) == ("10.01 EUR", "14.37 EUR", "Shoes")
    assert (sale.final_sale, sale.category) == (True, None)
    assert str(order.paid(shoe)) == "89.98 EUR"  # the tax is within
    assert (str(order.shipping), str(order.total)) == ("4.90 EUR", "99.88 EUR")
    assert order.placed_at == datetime(2026, 1, 2, 10, tzinfo=UTC)
    assert order.shipped_at == datetime(2026, 1, 4, 9, tzinfo=UTC)
    assert order.delivered_at == datetime(2026, 1, 6, 11, tzinfo=UTC)
    assert (order.country, order.payment) == ("DE", PaymentRef("payment_intent", "pi_3Nabc"))
    assert order.address == Address(
        "Jane Doe", "Elm Street 12", "Hamburg", "20095", "DE", phone="+4940123456"
    )
    assert (shoe.weight, sale.weight) == (401, None)  # 0.4005 kg; 0 says that nobody weighed it
    assert order.customer_email == "jane@example.com"
    assert not {"jane", "Jane", "Elm", "20095"} & set(repr(order).replace("'", " ").split())


def test_shopify_is_asked_in_the_version_we_name(server: ApiServer, shopify: ShopifyOrders) -> None:
    server.reply_json(*by_name(document("shopify")))
    ask(shopify, "#1234")
    received, _ = server.received
    assert received.path == "/admin/api/2026-01/graphql.json"
    assert received.headers["X-Shopify-Access-Token"] == SECRET
    assert received.json["variables"] == {"query": 'name:"#1234"'}


@pytest.mark.parametrize("query", [BY_NAME, BY_ID, MORE_LINES])
def test_shopify_no_query_costs_more_than_shopify_allows(query: str) -> None:
    assert query_cost(query) <= 1000


def test_shopify_lines_are_read_page_by_page(server: ApiServer, shopify: ShopifyOrders) -> None:
    first = document("shopify")
    lines = first["data"]["orders"]["nodes"][0]["lineItems"]
    second = copy.deepcopy(lines)
    second["nodes"] = [{**second["nodes"][0], "id": "gid://shopify/LineItem/9"}]
    second["pageInfo"] = {"hasNextPage": False, "endCursor": "c3"}
    lines["pageInfo"]["hasNextPage"] = True
    server.reply_json(*by_name(first), {"data": {"order": {"lineItems": second}}})
    assert len(known(ask(shopify)).lines) == 3
    assert server.received[2].json["variables"]["after"] == "c2"


def test_shopify_pages_that_do_not_end_are_an_error(
    server: ApiServer, shopify: ShopifyOrders
) -> None:
    first = document("shopify")
    lines = first["data"]["orders"]["nodes"][0]["lineItems"]
    lines["pageInfo"]["hasNextPage"] = True
    server.reply_json(*by_name(first), {"data": {"order": {"lineItems": lines}}})
    with pytest.raises(OrderError, match="same page of lines twice"):
        ask(shopify)


def test_shopify_another_order_that_the_search_finds_is_not_it(
    server: ApiServer, shopify: ShopifyOrders
) -> None:
    found = document("shopify")
    found["data"]["orders"]["nodes"][0]["name"] = "#1234-A"
    server.reply_json(found)
    assert ask(shopify) is None


def test_shopify_two_orders_of_one_name_are_an_error(
    server: ApiServer, shopify: ShopifyOrders
) -> None:
    found = document("shopify")
    found["data"]["orders"]["nodes"] *= 2
    server.reply_json(found)
    with pytest.raises(OrderError, match="several orders #1234"):
        ask(shopify)


def test_shopify_an_id_is_asked_for_as_such(server: ApiServer, shopify: ShopifyOrders) -> None:
    node = document("shopify")["data"]["orders"]["nodes"][0]
    server.reply_json({"data": {"order": node}}, {"data": {"order": None}})
    assert known(ask(shopify, node["id"])).id == node["id"]
    assert ask(shopify, "gid://shopify/Order/1") is None


def test_shopify_an_order_has_one_id_whatever_it_is_asked_by(
    server: ApiServer, shopify: ShopifyOrders
) -> None:
    node = document("shopify")["data"]["orders"]["nodes"][0]
    named = by_name(document("shopify"))
    server.reply_json(*named, *named, {"data": {"order": node}})
    found = [known(ask(shopify, it)) for it in ("1234", "#1234", node["id"])]
    assert {(it.id, it.number) for it in found} == {(node["id"], "1234")}


@pytest.mark.parametrize("order_id", ['1" OR name:"2', "", "a b", "x" * 65])
def test_shopify_what_is_no_name_is_not_asked_for(
    server: ApiServer, shopify: ShopifyOrders, order_id: str
) -> None:
    assert ask(shopify, order_id) is None
    assert server.received == []


@pytest.mark.parametrize(
    ("code", "retryable", "words"),
    [
        ("THROTTLED", True, "takes no more queries"),
        ("ACCESS_DENIED", False, "read_orders, read_all_orders"),
        ("INTERNAL_SERVER_ERROR", True, "failed"),
        ("undefinedField", False, "check SHOPIFY_API_VERSION"),
    ],
)
def test_shopify_errors_come_with_status_200(
    server: ApiServer, shopify: ShopifyOrders, code: str, retryable: bool, words: str
) -> None:
    server.reply_json({"errors": [{"message": SECRET, "extensions": {"code": code}}]})
    with pytest.raises(OrderError, match=words) as caught:
        ask(shopify)
    assert caught.value.retryable is retryable
    assert "s3cret" not in str(caught.value)


def test_shopify_money_is_exact_or_an_error(server: ApiServer, shopify: ShopifyOrders) -> None:
    found = document("shopify")
    item = found["data"]["orders"]["nodes"][0]["lineItems"]["nodes"][0]
    item["originalUnitPriceSet"]["presentmentMoney"]["amount"] = "33.333"
    server.reply_json(*by_name(found))
    with pytest.raises(OrderError, match=r"EUR has 2 decimals; nothing is rounded"):
        ask(shopify)
    item["originalUnitPriceSet"]["presentmentMoney"] = {"amount": "33", "currencyCode": "USD"}
    server.reply_json(*by_name(found))
    with pytest.raises(OrderError, match="another currency"):
        ask(shopify)


def test_shopify_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="api_version"):
        ShopifyOrders("acme.myshopify.com", SECRET, api_version="v1/../x")


def test_shopify_without_its_settings_says_which() -> None:
    with pytest.raises(ConfigurationError, match="SHOPIFY_ACCESS_TOKEN"):
        PLUGINS.build("shopify", {"shop": "acme.myshopify.com"})


class Woo:
    """A WooCommerce shop of one order, which has the id 727 and a number."""

    def __init__(self, server: ApiServer, number: str = "727", orders: int = 1) -> None:
        self.order: dict[str, Any] = {**document("woocommerce"), "number": number}
        self.orders = orders
        server.otherwise = self.answer

    def answer(self, received: Received) -> Reply:
        path = received.path.removeprefix("/wp-json/wc/v3")
        if path == "/products":
            return Reply(body=document("woocommerce-products"))
        if path == "/orders":
            return self.page(int(received.query["page"]))
        if path == "/orders/727":
            return Reply(body=self.order)
        return Reply(404, {"code": "woocommerce_rest_shop_order_invalid_id"})

    def page(self, number: int) -> Reply:
        others = [{**self.order, "number": f"{n}"} for n in range(100)]
        pages = {1: others, 2: [self.order] * self.orders}
        return Reply(body=pages[number], headers={"X-WP-TotalPages": "2"})


def test_woocommerce_an_order_is_read_as_it_was_paid(
    server: ApiServer, woocommerce: WooCommerceOrders
) -> None:
    Woo(server)
    order = known(ask(woocommerce, "727"))
    single, idea = order.lines
    assert (single.sku, single.quantity, single.category) == ("SINGLE-1", 3, "albums")
    assert str(order.paid(single)) == "10.76 USD"
    assert single.price.minor * 3 - single.discount.minor == 1000
    assert (idea.sku, idea.final_sale, str(order.paid(idea))) == ("23", True, "12.59 USD")
    assert str(order.shipping) == "10.75 USD"
    assert order.placed_at == datetime(2026, 1, 2, 10, tzinfo=UTC)
    assert order.shipped_at == datetime(2026, 1, 4, 8, tzinfo=UTC)
    assert order.delivered_at is None
    assert (order.country, order.payment) == ("CA", PaymentRef("charge", "ch_3Nabc"))
    assert order.address == Address(
        "Jane Doe", "12 Elm Street", "Toronto", "M5H 2N2", "CA", state="ON"
    )
    assert {line.weight for line in order.lines} == {None}
    assert order.customer_email == document("woocommerce")["billing"]["email"]
    assert order.customer_id is None  # a guest's


def test_woocommerce_without_a_delivery_address_it_is_the_billing_one(
    server: ApiServer, woocommerce: WooCommerceOrders
) -> None:
    shop = Woo(server)
    shop.order["shipping"] = dict.fromkeys(shop.order["shipping"], "")
    address = known(ask(woocommerce, "727")).address
    assert address is not None
    assert (address.street, address.street2, address.state) == ("969 Market", "Apt 4", "CA")


def test_woocommerce_is_asked_with_the_key_it_gave(
    server: ApiServer, woocommerce: WooCommerceOrders
) -> None:
    Woo(server)
    ask(woocommerce, "727")
    assert [it.path for it in server.received] == [
        "/wp-json/wc/v3/orders/727",
        "/wp-json/wc/v3/products",
    ]
    sent = server.received[0].headers["Authorization"].removeprefix("Basic ")
    assert base64.b64decode(sent).decode() == f"ck_1:{SECRET}"
    assert server.received[1].query["include"] == "22,93"


@pytest.mark.parametrize("number", ["2026-7", "4711"])
def test_woocommerce_a_number_that_is_no_id_is_searched_on_all_pages(
    server: ApiServer, woocommerce: WooCommerceOrders, number: str
) -> None:
    Woo(server, number)
    assert len(known(ask(woocommerce, f"#{number}")).lines) == 2
    pages = [it.query["page"] for it in server.received if it.path.endswith("/orders")]
    assert pages == ["1", "2"]


def test_woocommerce_another_order_with_that_id_is_not_it(
    server: ApiServer, woocommerce: WooCommerceOrders
) -> None:
    Woo(server, "4711")
    assert ask(woocommerce, "727") is None


def test_woocommerce_two_orders_of_one_number_are_an_error(
    server: ApiServer, woocommerce: WooCommerceOrders
) -> None:
    Woo(server, "2026-7", orders=2)
    with pytest.raises(OrderError, match="several orders with the number 2026-7"):
        ask(woocommerce, "2026-7")


def test_woocommerce_an_unknown_order_is_none(
    server: ApiServer, woocommerce: WooCommerceOrders
) -> None:
    Woo(server)
    assert ask(woocommerce, "999") is None
    assert ask(woocommerce, "a b") is None


def test_woocommerce_without_its_api_says_so(
    server: ApiServer, woocommerce: WooCommerceOrders
) -> None:
    server.otherwise = lambda _: Reply(404, b"")
    with pytest.raises(OrderError, match=r"no REST API at that address \(404\): check WOO"):
        ask(woocommerce)


def woo_order(server: ApiServer, *lines: dict[str, str], **order: Any) -> None:
    shop = Woo(server)
    item = shop.order["line_items"][0]
    shop.order["line_items"] = [
        {**item, "id": number, "sku": f"S{number}", "quantity": 1, **line}
        for number, line in enumerate(lines, start=1)
    ]
    shop.order |= {"shipping_total": "0.00", "shipping_tax": "0.00", "total_tax": "0.00", **order}


def of(total: str, tax: str = "0.00", **more: Any) -> dict[str, Any]:
    return {"subtotal": total, "total": total, "total_tax": tax, **more}


FEE = {"id": 9, "name": "Loyalty", "total": "-20.00", "total_tax": "0.00"}


@pytest.mark.parametrize(
    ("lines", "order", "paid"),
    [
        # Rounded apart from the total: what was charged counts, to the cent.
        ([of("149.38", "29.88", quantity=10)], {"total": "179.25"}, [17925]),
        ([of("9.99", "0.89"), of("9.99", "0.89")], {"total": "21.75"}, [1088, 1087]),
        ([of("4.44", "0.44"), of("4.44", "0.44")], {"total": "9.77"}, [489, 488]),
        # More decimals than money has, as shops for other shops count.
        ([of("41.322314", "8.677686")], {"total": "50.000000"}, [5000]),
        # A discount that is no coupon.
        ([of("50.00"), of("50.00")], {"total": "80.00", "fee_lines": [FEE]}, [4000, 4000]),
        ([of("90.00"), of("10.00")], {"total": "80.00", "fee_lines": [FEE]}, [7200, 800]),
    ],
)
def test_woocommerce_lines_add_up_to_what_was_charged(
    server: ApiServer,
    woocommerce: WooCommerceOrders,
    lines: list[dict[str, Any]],
    order: dict[str, Any],
    paid: list[int],
) -> None:
    woo_order(server, *lines, **order)
    found = known(ask(woocommerce, "727"))
    assert [found.paid(it).minor for it in found.lines] == paid
    assert found.problem() is None


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("refunded", "is refunded"),
        ("cancelled", "was cancelled"),
        ("failed", "payment failed"),
        ("trash", "is in the bin"),
        ("on-hold", "is not paid yet"),
        ("delivered", ""),
    ],
)
def test_woocommerce_an_order_that_is_none_any_more_is_a_problem(
    server: ApiServer, woocommerce: WooCommerceOrders, status: str, words: str
) -> None:
    Woo(server).order["status"] = status
    assert words in (known(ask(woocommerce, "727")).problem() or "")
    assert bool(words) == bool(known(ask(woocommerce, "727")).problem())


def test_woocommerce_a_line_below_zero_is_said_to_a_person(
    server: ApiServer, woocommerce: WooCommerceOrders
) -> None:
    woo_order(server, of("90.00"), of("-10.00"), total="80.00")
    with pytest.raises(OrderError, match=r"line 2: is below zero \(a trade-in, .* by hand") as why:
        ask(woocommerce, "727")
    assert not why.value.retryable
