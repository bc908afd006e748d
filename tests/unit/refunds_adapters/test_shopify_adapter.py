"""What the Shopify adapter tells the shop, and how it reads the answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from starlette.applications import Starlette

from dispatch_returns.errors import (
    AdapterError,
    ConfigurationError,
    ErrorKind,
    InvalidArgumentError,
    SignatureError,
    UnsupportedFeatureError,
)
from dispatch_returns.money import Money
from dispatch_returns.refunds import (
    KnownRefund,
    PaymentRef,
    RefundDetails,
    RefundLine,
    RefundRequest,
    RefundStatus,
    ShopifyAdapter,
    WebhookRequest,
)
from dispatch_returns.refunds.adapters.shopify import documents, money
from dispatch_returns.refunds.registry import build_adapter
from dispatch_sandbox.shops import SHOPIFY_TOKEN, ShopFault, ShopifyState, shopify_routes
from tests.support.order_shops import query_cost
from tests.support.stripe_sandbox import serving

LOCATION = "gid://shopify/Location/1"


@pytest.fixture(scope="module")
def shop() -> Iterator[tuple[ShopifyState, str]]:
    state = ShopifyState()
    with serving(Starlette(routes=shopify_routes(state))) as url:
        yield state, url


@pytest.fixture
def state(shop: tuple[ShopifyState, str]) -> ShopifyState:
    return shop[0]


@pytest.fixture
def adapter(shop: tuple[ShopifyState, str]) -> Iterator[ShopifyAdapter]:
    with closing(
        ShopifyAdapter(shop[1], SHOPIFY_TOKEN, location=LOCATION, webhook_secrets=["new", "old"])
    ) as adapter:
        yield adapter


def request(gid: str, minor: int = 4900, **details: Any) -> RefundRequest:
    """The intent to refund a part of an order: the same for the same order."""
    refund_id = f"rfd_{int(gid.rpartition('/')[2]):032x}"
    return RefundRequest(
        refund_id=refund_id,
        idempotency_key=f"{refund_id}-g1",
        payment=PaymentRef("reference", gid),
        amount=Money(minor, "USD"),
        workspace_id="ws_1",
        ticket_id="tkt_1",
        details=RefundDetails(reference="R-1", **details),
    )


def kind_of(adapter: ShopifyAdapter, wanted: RefundRequest) -> ErrorKind:
    with pytest.raises(AdapterError) as caught:
        adapter.refund(wanted)
    return caught.value.kind


def test_the_shop_learns_what_to_pay_through_which_gateway_and_for_whom(
    state: ShopifyState, adapter: ShopifyAdapter
) -> None:
    gid = state.pay("149.00", "USD", gateway="paypal")
    wanted = request(gid)
    adapter.refund(wanted)
    given = state.refunds_made[-1]
    (share,) = given["transactions"]
    assert (share["amount"], share["gateway"], share["kind"]) == ("49.00", "paypal", "REFUND")
    assert given["note"] == f"Return R-1 [dispatch-returns {wanted.refund_id}-g1 ws_1 tkt_1]"
    assert (given["currency"], given["notify"]) == ("USD", False)


def test_goods_go_back_into_stock_by_their_condition(
    state: ShopifyState, adapter: ShopifyAdapter
) -> None:
    gid = state.pay("149.00", "USD", lines=[("SHOE", 1), ("SOCK", 2)])
    lines = (RefundLine("SHOE", condition="damaged"), RefundLine("SOCK", 2, condition="new"))
    adapter.refund(request(gid, lines=lines, shipping=Money(500, "USD")))
    given = state.refunds_made[-1]
    shoe, sock = given["refundLineItems"]
    assert (shoe["restockType"], sock["restockType"]) == ("NO_RESTOCK", "RETURN")
    assert (sock["quantity"], sock["locationId"], "locationId" in shoe) == (2, LOCATION, False)
    assert given["shipping"] == {"amount": "5.00"}


def test_without_a_location_the_stock_stays_as_it_is(shop: tuple[ShopifyState, str]) -> None:
    state, url = shop
    gid = state.pay("149.00", "USD", lines=[("SHOE", 1)])
    with closing(ShopifyAdapter(url, SHOPIFY_TOKEN)) as adapter:
        adapter.refund(request(gid, lines=(RefundLine("SHOE", condition="new"),)))
    assert state.refunds_made[-1]["refundLineItems"][0]["restockType"] == "NO_RESTOCK"


def test_no_more_pieces_are_named_than_the_order_still_has(
    state: ShopifyState, adapter: ShopifyAdapter
) -> None:
    gid = state.pay("149.00", "USD", lines=[("SOCK", 1), ("SOCK", 1)])
    adapter.refund(request(gid, lines=(RefundLine("SOCK", 3), RefundLine("NONE", 1))))
    assert [it["quantity"] for it in state.refunds_made[-1]["refundLineItems"]] == [1, 1]


def test_a_gateway_that_takes_its_time_leaves_the_refund_pending(
    state: ShopifyState, adapter: ShopifyAdapter
) -> None:
    gid = state.pay("149.00", "USD")
    adapter.refund(request(gid))
    state.settle(gid, "PENDING")
    found = adapter.find(request(gid))
    assert found is not None
    assert found.status is RefundStatus.PENDING
    assert adapter.payment(PaymentRef("reference", gid)).refunded == Money(4900, "USD")


def test_an_order_paid_with_several_payments_waits_for_a_person(
    state: ShopifyState, adapter: ShopifyAdapter
) -> None:
    gid = state.pay("149.00", "USD")
    state.pay_more(gid, "10.00", "paypal")
    with pytest.raises(UnsupportedFeatureError, match="several payments"):
        adapter.payment(PaymentRef("reference", gid))


def test_a_gift_card_is_left_out(state: ShopifyState, adapter: ShopifyAdapter) -> None:
    gid = state.pay("149.00", "USD")
    state.pay_more(gid, "10.00", "gift_card")
    assert adapter.payment(PaymentRef("reference", gid)).charged == Money(14900, "USD")


def test_several_captures_are_refunded_the_last_one_first() -> None:
    def taken(number: int, kind: str, amount: str, parent: str | None = None) -> dict[str, Any]:
        return {
            "id": f"t{number}",
            "kind": kind,
            "status": "SUCCESS",
            "gateway": "adyen",
            "amountSet": {"presentmentMoney": {"amount": amount, "currencyCode": "USD"}},
            "parentTransaction": parent and {"id": parent},
        }

    order = documents.PaidOrder.model_validate(
        {
            "id": "gid",
            "presentmentCurrencyCode": "USD",
            "transactions": [
                taken(1, "AUTHORIZATION", "60"),
                taken(2, "CAPTURE", "40", "t1"),
                taken(3, "CAPTURE", "20", "t1"),
                taken(4, "REFUND", "5", "t3"),
            ],
        }
    )
    captures = money.captures_of(order)
    shares = money.shares_of(Money(2500, "USD"), captures, "gid")
    assert [(it["parentId"], it["amount"]) for it in shares] == [("t3", "15.00"), ("t2", "10.00")]
    assert money.payment_of(order, captures).refunded == Money(500, "USD")


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (ShopFault("rate_limited"), ErrorKind.RATE_LIMITED),
        (ShopFault("in_progress"), ErrorKind.IN_PROGRESS),
        (ShopFault("broken_before"), ErrorKind.UNKNOWN_OUTCOME),
        (ShopFault("refused", "Cannot refund more than was paid"), ErrorKind.EXCEEDS_REMAINING),
        (ShopFault("refused", "The payment is under dispute"), ErrorKind.DISPUTED),
        (ShopFault("refused", "Insufficient funds"), ErrorKind.INSUFFICIENT_BALANCE),
        (ShopFault("refused", "No such gateway s3cret"), ErrorKind.CONFIG),
    ],
)
def test_what_the_shop_refuses_has_its_kind(
    state: ShopifyState, adapter: ShopifyAdapter, fault: ShopFault, kind: ErrorKind
) -> None:
    gid = state.pay("149.00", "USD")
    state.faults.add(fault)
    assert kind_of(adapter, request(gid)) is kind
    assert state.refunds_of(gid) == []


def test_a_500_in_place_of_the_answer_is_an_unknown_outcome_that_is_found(
    state: ShopifyState, adapter: ShopifyAdapter
) -> None:
    gid = state.pay("149.00", "USD")
    state.faults.add(ShopFault("broken_answer"))
    assert kind_of(adapter, request(gid)) is ErrorKind.UNKNOWN_OUTCOME
    assert adapter.refund(request(gid)).amount == Money(4900, "USD")
    assert len(state.refunds_of(gid)) == 1


def test_a_repeated_refund_survives_another_one_in_between(
    state: ShopifyState, adapter: ShopifyAdapter
) -> None:
    gid = state.pay("149.00", "USD", lines=[("SHOE", 1)])
    wanted = request(gid, lines=(RefundLine("SHOE"),))
    first = adapter.refund(wanted)
    state.refund_externally(gid, "10.00")
    assert adapter.refund(wanted).processor_id == first.processor_id


def test_shopify_refuses_a_refund_without_a_key(shop: tuple[ShopifyState, str]) -> None:
    state, url = shop
    with closing(ShopifyAdapter(url, SHOPIFY_TOKEN)) as adapter:
        document = documents.REFUND.replace("@idempotent(key: $key)", "")
        with pytest.raises(AdapterError) as caught:
            adapter._ask(document, input={"orderId": state.pay("1.00", "USD")}, key="k")  # pyright: ignore[reportPrivateUsage]
    assert caught.value.kind is ErrorKind.CONFIG


def test_a_webhook_says_which_orders_refunds_to_ask_for(
    state: ShopifyState, adapter: ShopifyAdapter
) -> None:
    gid = state.pay("149.00", "USD")
    headers, body = state.webhook(gid, "old")
    (head,) = adapter.verify_webhook(WebhookRequest("POST", "/", headers, body))
    assert (head.event_id, head.type) == ("evt-1", "refunds/create")
    update = adapter.parse_event(body)
    assert update is not None
    assert update.payments == (PaymentRef("reference", gid),)
    with pytest.raises(SignatureError):
        adapter.verify_webhook(WebhookRequest("POST", "/", headers, body + b" "))
    assert adapter.parse_event(b"{}") is None


def test_an_empty_secret_list_refuses_every_webhook(shop: tuple[ShopifyState, str]) -> None:
    state, url = shop
    headers, body = state.webhook(state.pay("1.00", "USD"), "")
    with closing(ShopifyAdapter(url, SHOPIFY_TOKEN)) as adapter, pytest.raises(SignatureError):
        adapter.verify_webhook(WebhookRequest("POST", "/", headers, body))


def test_the_shop_and_its_scopes_are_known(adapter: ShopifyAdapter) -> None:
    assert adapter.account() == "gid://shopify/Shop/1"
    assert adapter.mode == "sandbox"
    assert adapter.check() == "lets the token in"
    assert adapter.recognizes("gid://shopify/Order/1")
    assert not adapter.recognizes("pi_1")


def test_a_payment_of_stripe_is_not_an_order(adapter: ShopifyAdapter) -> None:
    with pytest.raises(UnsupportedFeatureError):
        adapter.payment(PaymentRef("payment_intent", "pi_1"))


def test_an_id_that_does_not_fit_into_the_note_is_refused(adapter: ShopifyAdapter) -> None:
    with pytest.raises(UnsupportedFeatureError):
        adapter.refund(replace(request("gid://shopify/Order/1"), ticket_id="a]b"))


def test_settings_that_are_wrong_are_named() -> None:
    with pytest.raises(ConfigurationError, match="SHOPIFY_SHOP: use https"):
        build_adapter("shopify", {"shop": "http://acme.example", "access_token": "s3cret"})
    with pytest.raises(ConfigurationError, match="SHOPIFY_LOCATION: write it as"):
        build_adapter("shopify", {"shop": "a.myshopify.com", "access_token": "x", "location": "B"})
    with pytest.raises(InvalidArgumentError, match="api_version"):
        ShopifyAdapter("acme.myshopify.com", "x", api_version="1/../x")


def test_an_order_with_more_refunds_than_are_listed_waits_for_a_person(
    state: ShopifyState, adapter: ShopifyAdapter
) -> None:
    gid = state.pay("149.00", "USD")
    for _ in range(documents.MOST_REFUNDS):
        state.refund_externally(gid, "1.00")
    assert kind_of(adapter, request(gid)) is ErrorKind.UNREADABLE_REFUND


def test_an_order_with_many_refunds_is_read_whole_in_the_list_of_all(
    state: ShopifyState, adapter: ShopifyAdapter
) -> None:
    gid = state.pay("149.00", "USD")
    made = {state.refund_externally(gid, "1.00") for _ in range(documents.MOST_LISTED + 1)}
    listed = [it for it in adapter.refunds_between(None, None) if isinstance(it, KnownRefund)]
    assert made <= {it.result.processor_id for it in listed}


@pytest.mark.parametrize(
    "document", [documents.ORDER, documents.LINES, documents.REFUND, documents.REFUNDED]
)
def test_no_query_costs_more_than_shopify_allows(document: str) -> None:
    assert query_cost(document) <= 1000
