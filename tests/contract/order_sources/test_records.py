"""Orders from a ticket, a merchant's database and Stripe's metadata: the same names for all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import Engine, create_engine, text
from starlette.applications import Starlette

from dispatch_returns.errors import ConfigurationError, OrderError
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_returns.returns.labels.provider import Address
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.orders.records import order_of
from dispatch_returns.returns.orders.registry import PLUGINS, Orders, load
from dispatch_returns.returns.orders.sql import SqlOrders
from dispatch_returns.returns.orders.stripe import StripeOrders
from dispatch_returns.returns.orders.ticket import FIELDS, TicketOrders
from dispatch_sandbox import stripe as stand_in
from tests.support.order_shops import ticket
from tests.support.stripe_sandbox import serving

LINES = [
    {"sku": "A", "quantity": 3, "price": "10.00", "tax": "5.70", "category": "Shoes"},
    {"sku": "B", "price": Decimal("5.5"), "discount": "0.50", "final_sale": True},
]


def of_ticket(lines: Any = LINES, **fields: Any) -> Order | None:
    values = {"currency": "eur", "order_date": "2026-01-02", "order_lines": lines} | fields
    return TicketOrders("Europe/Berlin").order("1234", ticket(**values))


def known(found: Order | None) -> Order:
    assert found is not None
    return found


def test_a_ticket_can_carry_its_order() -> None:
    order = known(
        of_ticket(
            order_shipping="4.90",
            delivered_date="2026-01-05",
            order_country="de",
            payment_intent="pi_1",
        )
    )
    assert [(it.sku, it.quantity, str(order.paid(it))) for it in order.lines] == [
        ("A", 3, "35.70 EUR"),
        ("B", 1, "5.00 EUR"),
    ]
    assert str(order.total) == "45.60 EUR"
    assert order.delivered_at is not None
    assert order.delivered_at.astimezone(UTC) == datetime(2026, 1, 5, 11, tzinfo=UTC)
    assert (order.country, order.payment) == ("DE", PaymentRef("payment_intent", "pi_1"))
    assert order.lines[1].final_sale


def test_the_lines_may_be_json_in_a_text_field() -> None:
    assert known(of_ticket(json.dumps(LINES[:1]))).lines == known(of_ticket(LINES[:1])).lines


SHIP = {
    "ship_name": "Jane Doe",
    "ship_street": "Elm Street 12",
    "ship_city": "Hamburg",
    "ship_postal_code": 20095,
}


def test_a_ticket_can_carry_the_address_and_the_weights() -> None:
    lines = [LINES[0] | {"weight": "400"}, LINES[1] | {"weight": 0}]
    order = known(of_ticket(lines, order_country="de", **SHIP))
    assert order.address == Address("Jane Doe", "Elm Street 12", "Hamburg", "20095", "DE")
    assert [line.weight for line in order.lines] == [400, None]
    assert "Elm" not in repr(order)
    assert "Jane" not in repr(order)


@pytest.mark.parametrize("missing", ["ship_name", "ship_street", "ship_city", "order_country"])
def test_half_an_address_is_none(missing: str) -> None:
    fields = {**SHIP, "order_country": "de", missing: None}
    assert known(of_ticket(**fields)).address is None


def test_a_ticket_proves_nobody_to_be_the_orders_customer() -> None:
    order = known(of_ticket(customer_email="jane@example.com", customer_id="cus_1"))
    assert (order.customer_email, order.customer_id) == (None, None)


def test_a_ticket_without_lines_leaves_it_to_the_next_source() -> None:
    assert of_ticket(None) is None
    assert of_ticket([]) is None


def test_an_order_discount_is_shared_out_to_the_last_cent() -> None:
    lines = [{"sku": sku, "price": "10.00"} for sku in "ABC"]
    order = known(of_ticket(lines, order_discount="10.00"))
    assert [it.discount.minor for it in order.lines] == [334, 333, 333]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"currency": "euro"}, "currency: write a three-letter code"),
        ({"currency": None}, "currency: write a three-letter code"),
        ({"lines": "{"}, "order_lines is not a list of objects"),
        ({"lines": [1]}, "order_lines is not a list of objects"),
        ({"lines": [{"price": "1"}]}, "line 1: sku: is missing"),
        ({"lines": [{"sku": "A"}]}, "line 1: price: is missing"),
        ({"lines": [{"sku": "A", "price": 1.5}]}, "a float is not exact"),
        ({"lines": [{"sku": "A", "price": "1,50"}]}, "line 1: price: is not an amount"),
        ({"lines": [{"sku": "A", "price": "1.555"}]}, "nothing is rounded"),
        ({"lines": [{"sku": "A", "price": "1", "quantity": 0}]}, "line 1 has 0 pieces"),
        ({"lines": [{"sku": "A", "price": "1", "quantity": "x"}]}, "not a number of pieces"),
        ({"lines": [{"sku": "A", "price": "1", "discount": "2"}]}, "more than its price"),
        ({"lines": [{"sku": "A", "price": "1", "final_sale": "x"}]}, "neither true nor false"),
        ({"lines": [{"sku": "A", "price": "1", "weight": "1 kg"}]}, "whole number of grams"),
        ({"order_date": "yesterday"}, "placed_at: write a time as"),
        ({"order_date": "0001-01-01"}, "placed_at is in the year 1"),
        ({"order_country": "Germany"}, "two capital letters"),
        ({"order_discount": "1000"}, "order_discount: is more than the lines cost"),
    ],
)
def test_what_cannot_be_read_is_named_and_not_shown(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(OrderError) as caught:
        of_ticket(**fields)
    assert words in str(caught.value)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("20260105", "2026-01-05T11:00:00+00:00"),
        (20260105, "2026-01-05T11:00:00+00:00"),
        ("2026-01-05", "2026-01-05T11:00:00+00:00"),
        ("20260105T120000Z", "2026-01-05T12:00:00+00:00"),
        (1767571200, "2026-01-05T00:00:00+00:00"),
        ("1767571200", "2026-01-05T00:00:00+00:00"),
    ],
)
def test_a_day_may_be_written_without_hyphens(written: str | int, read: str) -> None:
    assert known(of_ticket(order_date=written)).placed_at.astimezone(UTC).isoformat() == read


@pytest.mark.parametrize("written", [20261301, "2026", 202601, "1767571200000", "20260105100000"])
def test_a_number_that_may_be_another_time_is_refused(written: str | int) -> None:
    with pytest.raises(OrderError, match="placed_at: write a time as"):
        of_ticket(order_date=written)


def test_what_drivers_return_for_bits_and_binary_texts_is_read() -> None:
    lines = [{"sku": b"A", "price": "1.00", "final_sale": bit} for bit in (b"\x01", b"\x00")]
    order = order_of("1", {"currency": "USD", "placed_at": "2026-01-05"}, lines, ZoneInfo("UTC"))
    assert [(it.sku, it.final_sale) for it in order.lines] == [("A", True), ("A", False)]


@pytest.mark.parametrize("price", [19.99, "$1,000.00"])
def test_an_amount_of_another_type_says_what_to_write_in_the_query(price: float | str) -> None:
    with pytest.raises(OrderError, match=r"line 1: price: .* CAST"):
        of_ticket([{"sku": "A", "price": price}])


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Engine]:
    engine = create_engine(f"sqlite:///{tmp_path}/shop.db")
    with engine.begin() as conn:
        conn.execute(text("create table o (id, sku, n, cents, at, sent, pi)"))
        rows = [("1234", "A", 3, 1000, "2026-01-02 10:00:00", None, "pi_1")]
        rows += [("1234", "B", 1, 555, "2026-01-02 10:00:00", None, "pi_1")]
        insert = "insert into o values (:a, :b, :c, :d, :e, :f, :g)"
        for row in rows:
            conn.execute(text(insert), dict(zip("abcdefg", row, strict=True)))
    yield engine
    engine.dispose()


QUERY = (
    "select sku, n as quantity, printf('%d.%02d', cents / 100, cents % 100) as price,"
    " 'EUR' as currency, at as placed_at, sent as shipped_at, pi as payment_intent"
    " from o where id = :order_id"
)


def test_a_query_gives_one_row_for_each_line(database: Engine) -> None:
    order = known(SqlOrders(database, QUERY, "Europe/Berlin").order("1234", ticket()))
    assert [(it.sku, it.quantity, str(it.price)) for it in order.lines] == [
        ("A", 3, "10.00 EUR"),
        ("B", 1, "5.55 EUR"),
    ]
    assert order.placed_at.utcoffset() == timedelta(hours=1)
    assert order.payment == PaymentRef("payment_intent", "pi_1")
    assert SqlOrders(database, QUERY).order("' or 1=1 --", ticket()) is None


@pytest.mark.parametrize("spelling", ["1234", "#1234", " 1234"])
def test_a_query_finds_an_order_by_each_of_its_spellings(database: Engine, spelling: str) -> None:
    assert known(SqlOrders(database, QUERY).order(spelling, ticket())).id == "1234"


def test_a_query_can_give_the_orders_own_id(database: Engine) -> None:
    query = QUERY.replace("select ", "select 'SO-' || id as order_id, ")
    found = [SqlOrders(database, query).order(it, ticket()) for it in ("1234", "#1234")]
    assert [known(it).id for it in found] == ["SO-1234"] * 2


def test_a_query_can_give_the_customer_the_address_and_the_weights(database: Engine) -> None:
    query = QUERY.replace(
        " from o",
        ", 'Jane Doe' as ship_name, 'Elm Street 12' as ship_street, 'Hamburg' as ship_city,"
        " '20095' as ship_postal_code, 'de' as country, 400.0 as weight,"
        " 'jane@example.com' as customer_email, 4711 as customer_id from o",
    )
    order = known(SqlOrders(database, query).order("1234", ticket()))
    assert order.address == Address("Jane Doe", "Elm Street 12", "Hamburg", "20095", "DE")
    assert [line.weight for line in order.lines] == [400, 400]
    assert (order.customer_email, order.customer_id) == ("jane@example.com", "4711")


@pytest.mark.parametrize(
    ("query", "words", "retryable"),
    [
        (QUERY.replace("as price", "as prize"), "a column prize: did you mean price?", False),
        (QUERY.replace("'EUR'", "sku"), "the rows differ in currency", False),
        (QUERY.replace("from o", "from missing"), "raised OperationalError", True),
        (QUERY.replace("printf('%d.%02d', cents / 100, cents % 100)", "1.5"), "a float", False),
    ],
)
def test_a_query_that_is_wrong_is_said_so(
    database: Engine, query: str, words: str, retryable: bool
) -> None:
    with pytest.raises(OrderError, match=words) as caught:
        SqlOrders(database, query).order("1234", ticket())
    assert caught.value.retryable is retryable
    assert "select" not in str(caught.value)


def test_a_query_must_choose_an_order_and_a_url_must_be_one() -> None:
    with pytest.raises(ConfigurationError, match=":order_id"):
        SqlOrders("sqlite://", "select 1")
    with pytest.raises(ConfigurationError, match="SQL_URL") as caught:
        SqlOrders("s3cret", QUERY)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="SQL_URL"):
        SqlOrders("nosuch://u:s3cret@host/db", QUERY)


def test_a_query_can_stand_in_a_file(database: Engine, tmp_path: Path) -> None:
    file = tmp_path / "orders.sql"
    file.write_text(QUERY)
    options = {"url": str(database.url), "query_file": str(file)}
    with closing(load(["sql"], {"sql": options})) as source:
        assert source.order("1234", ticket()) is not None
    with pytest.raises(ConfigurationError, match="cannot be read"):
        PLUGINS.build("sql", options | {"query_file": str(tmp_path / "none.sql")})
    with pytest.raises(ConfigurationError, match="SQL_URL"):
        PLUGINS.build("sql", {})


@pytest.fixture
def stripe_url() -> Iterator[str]:
    with serving(Starlette(routes=stand_in.routes(stand_in.StripeState()))) as url:
        yield url


def pay(url: str, amount: int = 3570, receipt_email: str = "", **metadata: str) -> str:
    fields = {"amount": str(amount), "currency": "eur", "payment_method": "pm_card_visa"}
    fields |= {"receipt_email": receipt_email} if receipt_email else {}
    fields |= {"confirm": "true"} | {f"metadata[{key}]": it for key, it in metadata.items()}
    made = httpx.post(f"{url}/v1/payment_intents", data=fields, auth=(stand_in.API_KEY, ""))
    return str(made.raise_for_status().json()["id"])


@pytest.fixture
def stripe_orders(stripe_url: str) -> Iterator[StripeOrders]:
    adapter = StripeAdapter(stand_in.API_KEY, base_url=stripe_url)
    yield StripeOrders(adapter)
    adapter.close()


LINE = json.dumps(LINES[:1])


def test_stripe_tells_what_the_shop_noted(stripe_url: str, stripe_orders: StripeOrders) -> None:
    paid = pay(stripe_url, order_id="1234", order_lines=LINE, delivered_at="2026-01-05")
    for found in (
        stripe_orders.order("1234", ticket(payment_intent=paid)),
        stripe_orders.order("1234", ticket()),
    ):
        order = known(found)
        assert (str(order.total), order.payment) == (
            "35.70 EUR",
            PaymentRef("payment_intent", paid),
        )


def test_stripe_knows_where_the_order_went(
    stripe_url: str, stripe_orders: StripeOrders, monkeypatch: pytest.MonkeyPatch
) -> None:
    pay(stripe_url, order_id="1234", order_lines=LINE)
    intent = StripeAdapter.intent
    address = {"line1": "510 Townsend St", "line2": None, "city": "San Francisco"}
    address |= {"postal_code": "94103", "state": "CA", "country": "US"}
    shipping = {"name": "Jane Doe", "phone": "+14155550100", "address": address}

    def with_shipping(adapter: StripeAdapter, intent_id: str) -> Any:
        # The stand-in keeps no shipping.
        return {**(intent(adapter, intent_id) or {}), "shipping": shipping}

    monkeypatch.setattr(StripeAdapter, "intent", with_shipping)
    assert known(stripe_orders.order("1234", ticket())).address == Address(
        "Jane Doe",
        "510 Townsend St",
        "San Francisco",
        "94103",
        "US",
        state="CA",
        phone="+14155550100",
    )


def test_an_intent_that_names_no_order_is_the_tickets_word_alone(
    stripe_url: str, stripe_orders: StripeOrders
) -> None:
    silent = pay(stripe_url, order_lines=LINE)
    assert known(stripe_orders.order("1234", ticket(payment_intent=silent))).from_ticket
    noted = pay(stripe_url, order_id="1234", order_lines=LINE)
    assert not known(stripe_orders.order("1234", ticket(payment_intent=noted))).from_ticket


def test_stripe_knows_whose_order_it_is(stripe_url: str, stripe_orders: StripeOrders) -> None:
    jane: Any = {"receipt_email": "jane@example.com", "order_lines": LINE}
    paid = pay(stripe_url, order_id="1234", **jane)
    found = known(stripe_orders.order("1234", ticket(payment_intent=paid)))
    assert found.customer_email == "jane@example.com"
    noted = pay(stripe_url, order_id="5", customer_email="joe@x.test", **jane)
    assert known(stripe_orders.order("5", ticket(payment_intent=noted))).customer_email == (
        "joe@x.test"
    )


def test_stripe_lines_may_be_spread_over_several_values(
    stripe_url: str, stripe_orders: StripeOrders
) -> None:
    pay(stripe_url, order_id="1234", order_lines_1=LINE[:20], order_lines_2=LINE[20:])
    assert len(known(stripe_orders.order("1234", ticket())).lines) == 1


def test_stripe_without_lines_or_payment_leaves_it_to_the_next_source(
    stripe_url: str, stripe_orders: StripeOrders
) -> None:
    paid = pay(stripe_url, order_id="1234")
    assert stripe_orders.order("1234", ticket(payment_intent=paid)) is None
    assert stripe_orders.order("1234", ticket(payment_intent="pi_gone")) is None
    assert stripe_orders.order("99", ticket()) is None


@pytest.mark.parametrize(
    ("metadata", "amount", "words"),
    [
        ({"order_id": "99", "order_lines": LINE}, 3570, "is for another order"),
        ({"order_lines": LINE}, 3569, "more than was paid"),
        ({"order_lines": "nonsense"}, 3570, "is not a JSON list"),
    ],
)
def test_stripe_a_payment_that_does_not_fit_is_refused(
    stripe_url: str,
    stripe_orders: StripeOrders,
    metadata: dict[str, str],
    amount: int,
    words: str,
) -> None:
    paid = pay(stripe_url, amount, **metadata)
    with pytest.raises(OrderError, match=words):
        stripe_orders.order("1234", ticket(payment_intent=paid))


def test_stripe_out_of_reach_can_be_asked_again() -> None:
    adapter = StripeAdapter(stand_in.API_KEY, base_url="http://127.0.0.1:9")
    with pytest.raises(OrderError, match="cannot be reached") as caught:
        StripeOrders(adapter).order("1234", ticket())
    assert caught.value.retryable
    adapter.close()


class Fixed:
    """A source that knows one order, none, or cannot say."""

    name = "fixed"

    def __init__(self, answer: Order | OrderError | None) -> None:
        self.answer = answer
        self.asked = 0

    def order(self, order_id: str, ticket: object) -> Order | None:
        self.asked += 1
        if isinstance(self.answer, OrderError):
            raise self.answer
        return self.answer


def test_the_first_source_that_knows_the_order_answers() -> None:
    order = known(of_ticket())
    last = Fixed(None)
    assert Orders([Fixed(None), Fixed(order), last]).order("1234", ticket()) is order
    assert last.asked == 0
    assert Orders([Fixed(None)]).order("1234", ticket()) is None


def test_a_source_that_cannot_say_now_is_not_passed_over() -> None:
    away, other = Fixed(OrderError("away", retryable=True)), Fixed(known(of_ticket()))
    with pytest.raises(OrderError, match="away"):
        Orders([away, other]).order("1234", ticket())
    assert other.asked == 0


def test_sources_are_found_by_name() -> None:
    assert PLUGINS.available() == ["shopify", "sql", "stripe", "ticket", "woocommerce"]
    options = {"shopify": {"shop": "acme.myshopify.com", "access_token": "x"}}
    with closing(load(["ticket", "shopify"], options)) as orders:
        assert repr(orders) == "Orders(ticket, shopify)"
    with pytest.raises(ConfigurationError, match="no installed package offers"):
        load(["magento"], {})
    with pytest.raises(ConfigurationError, match="at least one"):
        load([], {})
    with pytest.raises(ConfigurationError, match="TICKET_TIME_ZONE"):
        load(["ticket"], {"ticket": {"time_zone": "Mars"}})


def test_every_field_that_a_ticket_is_given_for_its_order_is_read() -> None:
    values: dict[str, Any] = {
        "order_lines": LINES,
        "order_date": "2026-01-02",
        "shipped_date": "2026-01-03",
        "delivered_date": "2026-01-05",
        "order_country": "DE",
        "order_shipping": "4.90",
        "order_discount": "1.00",
        "prices_include_tax": True,
        "ship_name": "Jane Doe",
        "ship_street": "Elm Street 12",
        "ship_street2": "2nd floor",
        "ship_city": "Hamburg",
        "ship_postal_code": "20095",
        "ship_state": "HH",
        "ship_phone": "040 123",
    }
    assert [*values] == [key for key, _ in FIELDS]
    whole = of_ticket(values.pop("order_lines"), **values)
    for key in values:
        assert of_ticket(LINES, **(values | {key: None})) != whole, key
