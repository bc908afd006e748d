"""What the WooCommerce adapter tells the shop, and how it reads the answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    EventError,
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
    WebhookRequest,
    WooCommerceAdapter,
)
from dispatch_returns.refunds.adapters.shop_notes import note_of
from dispatch_sandbox.shops import WOO_KEY, WOO_SECRET, ShopFault, WooState, woocommerce_routes
from tests.support.stripe_sandbox import serving

HEX = "0123456789abcdef" * 2


@pytest.fixture(scope="module")
def shop() -> Iterator[tuple[WooState, str]]:
    state = WooState()
    with serving(Starlette(routes=woocommerce_routes(state))) as url:
        yield state, url


@pytest.fixture
def state(shop: tuple[WooState, str]) -> WooState:
    return shop[0]


@pytest.fixture
def adapter(shop: tuple[WooState, str]) -> Iterator[WooCommerceAdapter]:
    with closing(
        WooCommerceAdapter(shop[1], WOO_KEY, WOO_SECRET, webhook_secrets=["s"])
    ) as adapter:
        yield adapter


def request(order: str, minor: int = 4900, **details: Any) -> RefundRequest:
    """The intent to refund a part of an order."""
    return RefundRequest(
        refund_id=f"rfd_{HEX}",
        idempotency_key=f"rfd_{HEX}-g1",
        payment=PaymentRef("reference", order),
        amount=Money(minor, "USD"),
        workspace_id="ws_1",
        ticket_id="tkt_1",
        details=RefundDetails(**details),
    )


def kind_of(adapter: WooCommerceAdapter, wanted: RefundRequest) -> ErrorKind:
    with pytest.raises(AdapterError) as caught:
        adapter.refund(wanted)
    return caught.value.kind


def test_the_gateway_pays_and_the_books_have_the_lines_with_their_tax(
    state: WooState, adapter: WooCommerceAdapter
) -> None:
    order = state.pay("48.00", "USD", lines=[("SHOE", 2, "40.00", "8.00")])
    line = RefundLine("SHOE", 1, amount=Money(2400, "USD"), condition="new")
    adapter.refund(request(order, 2400, lines=(line,)))
    given = state.refunds_made[-1]
    assert (given["amount"], given["api_refund"], given["api_restock"]) == ("24.00", True, True)
    (entry,) = given["line_items"]
    assert (entry["quantity"], entry["refund_total"]) == (1, "20.00")
    assert entry["refund_tax"] == [{"id": 1, "refund_total": "4.00"}]
    assert given["reason"] == f"[dispatch-returns rfd_{HEX}-g1 ws_1 tkt_1]"


def test_the_shares_of_a_line_are_exact_to_the_minor_unit(
    state: WooState, adapter: WooCommerceAdapter
) -> None:
    order = state.pay("10.00", "USD", lines=[("SHOE", 3, "8.41", "1.59")])
    adapter.refund(request(order, 333, lines=(RefundLine("SHOE", 1, amount=Money(333, "USD")),)))
    (entry,) = state.refunds_made[-1]["line_items"]
    assert (entry["refund_total"], entry["refund_tax"][0]["refund_total"]) == ("2.81", "0.52")


def test_damaged_goods_do_not_go_back_into_stock(
    state: WooState, adapter: WooCommerceAdapter
) -> None:
    order = state.pay("149.00", "USD")
    lines = (RefundLine("SKU-1", condition="new"), RefundLine("SKU-1", condition="damaged"))
    adapter.refund(request(order, lines=lines))
    assert state.refunds_made[-1]["api_restock"] is False


def test_a_refund_that_the_gateway_has_not_paid_is_waited_for(
    state: WooState, adapter: WooCommerceAdapter
) -> None:
    wanted = request(state.pay("149.00", "USD"))
    state.stop_before_gateway(wanted.payment.id, "49.00", note_of(wanted))
    with pytest.raises(AdapterError) as caught:
        adapter.find(wanted)
    assert caught.value.kind is ErrorKind.IN_PROGRESS
    assert kind_of(adapter, wanted) is ErrorKind.IN_PROGRESS
    (listed,) = adapter.refunds_of(wanted.payment)
    assert isinstance(listed, KnownRefund)
    assert listed.result.status is RefundStatus.PENDING
    assert len(state.refunds_of(wanted.payment.id)) == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("rate_limited", ErrorKind.RATE_LIMITED),
        ("refused", ErrorKind.UNKNOWN_OUTCOME),
        ("broken_before", ErrorKind.UNKNOWN_OUTCOME),
    ],
)
def test_a_gateway_that_failed_may_have_paid(
    state: WooState, adapter: WooCommerceAdapter, fault: Any, kind: ErrorKind
) -> None:
    wanted = request(state.pay("149.00", "USD"))
    state.faults.add(ShopFault(fault))
    assert kind_of(adapter, wanted) is kind
    assert adapter.find(wanted) is None


def test_a_500_in_place_of_the_answer_is_found_by_its_reason(
    state: WooState, adapter: WooCommerceAdapter
) -> None:
    wanted = request(state.pay("149.00", "USD"))
    state.faults.add(ShopFault("broken_answer"))
    assert kind_of(adapter, wanted) is ErrorKind.UNKNOWN_OUTCOME
    assert adapter.find(wanted) is not None
    adapter.refund(wanted)
    assert len(state.refunds_of(wanted.payment.id)) == 1


def test_a_gateway_without_refunds_is_left_to_a_person(
    state: WooState, adapter: WooCommerceAdapter
) -> None:
    for gateway in ("bacs", "gone"):
        ref = PaymentRef("reference", state.pay("149.00", "USD", gateway=gateway))
        with pytest.raises(UnsupportedFeatureError, match="pay it by hand"):
            adapter.payment(ref)


def test_an_order_that_was_not_paid_is_not_refunded(
    state: WooState, adapter: WooCommerceAdapter
) -> None:
    wanted = request(state.pay("149.00", "USD", paid=False))
    assert kind_of(adapter, wanted) is ErrorKind.NOT_REFUNDABLE


def test_a_webhook_says_which_orders_refunds_to_ask_for(
    state: WooState, adapter: WooCommerceAdapter
) -> None:
    order = state.pay("149.00", "USD")
    assert adapter.parse_event(state.webhook(order, "s")[1]) is None
    adapter.refund(request(order))
    headers, body = state.webhook(order, "s")
    (head,) = adapter.verify_webhook(WebhookRequest("POST", "/", headers, body))
    assert (head.event_id, head.type) == ("1-2", "order.updated")
    update = adapter.parse_event(body)
    assert update is not None
    assert update.payments == (PaymentRef("reference", order),)
    with pytest.raises(SignatureError):
        adapter.verify_webhook(WebhookRequest("POST", "/", headers, b""))
    with pytest.raises(EventError):
        adapter.parse_event(b"webhook_id=1")


def test_the_shop_is_its_address(shop: tuple[WooState, str], adapter: WooCommerceAdapter) -> None:
    assert (adapter.account(), adapter.mode) == (shop[1], "sandbox")
    assert adapter.check().startswith("lets the key read")
    assert adapter.recognizes("727")
    assert not adapter.recognizes("pi_1")


PUBLISHED = {
    "id": 726,
    "date_created": "2017-03-21T17:07:11",
    "date_created_gmt": "2017-03-21T20:07:11",
    "amount": "10.00",
    "reason": "",
    "refunded_by": 1,
    "refunded_payment": False,
    "meta_data": [],
    "line_items": [],
}
"""An answer as WooCommerce publishes it, without its links:
https://woocommerce.github.io/woocommerce-rest-api-docs/#list-all-refunds"""


def test_an_answer_as_the_vendor_publishes_it_is_read() -> None:
    order = {"id": 723, "currency": "USD", "total": "29.35", "payment_method": "stripe"}
    order["date_paid_gmt"] = "2017-03-22T19:28:08"

    def answer(request: httpx.Request) -> httpx.Response:
        refunds = request.url.path.endswith("/refunds")
        return httpx.Response(200, json=[PUBLISHED] if refunds else order)

    with httpx.Client(transport=httpx.MockTransport(answer)) as http:
        adapter = WooCommerceAdapter("https://shop.example", "ck", "cs", http_client=http)
        (found,) = adapter.refunds_of(PaymentRef("reference", "723"))
    assert isinstance(found, KnownRefund)
    assert (found.result.amount, found.result.ours) == (Money(1000, "USD"), False)
    # It was paid by hand: the gateway never will, so nothing is waited for.
    assert found.result.status is RefundStatus.SUCCEEDED
    assert found.created_at == datetime(2017, 3, 21, 20, 7, 11, tzinfo=UTC)
