"""An error that does not prove that nothing was paid is an unknown outcome, at every processor."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

from dispatch_returns.errors import AdapterError, ErrorKind, InvalidArgumentError
from dispatch_returns.money import Money
from dispatch_returns.refunds import ShopifyAdapter, WooCommerceAdapter
from dispatch_returns.refunds.adapter import PaymentRef, RefundRequest
from dispatch_returns.refunds.adapters.braintree import BraintreeAdapter
from dispatch_returns.refunds.adapters.paypal import PayPalAdapter
from dispatch_returns.refunds.adapters.shopify import documents

ID = f"rfd_{'a' * 32}"
TRANSACTION = base64.b64encode(b"transaction_abc123").decode().rstrip("=")


def request(payment: str, currency: str = "EUR") -> RefundRequest:
    ref = PaymentRef("reference", payment)
    return RefundRequest(ID, f"{ID}-g1", ref, Money(1000, currency), "ws", "tk")


def client(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.Client:
    return httpx.Client(transport=httpx.MockTransport(answer))


def kind_of(call: Callable[[], object]) -> ErrorKind:
    with pytest.raises(AdapterError) as caught:
        call()
    return caught.value.kind


# Braintree.


def braintree(answer: Mapping[str, Any], currency: str = "EUR") -> BraintreeAdapter:
    node = {
        "id": TRANSACTION,
        "legacyId": "abc123",
        "createdAt": "2026-11-28T10:00:00Z",
        "status": "SETTLED",
        "orderId": "1",
        "amount": {"value": "50.00", "currencyCode": currency},
        "refunds": [],
    }

    def reply(asked: httpx.Request) -> httpx.Response:
        query = json.loads(asked.content)["query"]
        is_node = "mutation" not in query and "search" not in query
        return httpx.Response(200, json={"data": {"node": node}} if is_node else answer)

    return BraintreeAdapter("merchant", "public", "private", http_client=client(reply))


def braintree_error(kind: str, code: str | None = None) -> dict[str, Any]:
    return {"message": "x", "extensions": {"errorClass": kind, "legacyCode": code}}


@pytest.mark.parametrize("kind", ["AUTHORIZATION", "RESOURCE_LIMIT", "VALIDATION", "NOT_FOUND"])
def test_braintrees_errors_beside_a_result_do_not_undo_it(kind: str) -> None:
    made = {
        "id": "cmVmdW5kX3gx",
        "legacyId": "x1",
        "createdAt": "2026-11-29T10:00:00Z",
        "status": "SUBMITTED_FOR_SETTLEMENT",
        "orderId": f"{ID}-g1.ws.tk",
        "amount": {"value": "10.00", "currencyCode": "EUR"},
    }
    answer = {"data": {"refundTransaction": {"refund": made}}, "errors": [braintree_error(kind)]}
    assert braintree(answer).refund(request(TRANSACTION)).amount == Money(1000, "EUR")
    answer = {"data": {"refundTransaction": {"refund": None}}, "errors": [braintree_error(kind)]}
    adapter = braintree(answer)
    assert kind_of(lambda: adapter.refund(request(TRANSACTION))) is ErrorKind.UNKNOWN_OUTCOME


def test_one_error_of_braintrees_that_may_come_late_makes_all_unknown() -> None:
    errors = [braintree_error("VALIDATION", "91506"), braintree_error("INTERNAL")]
    adapter = braintree({"data": None, "errors": errors})
    assert kind_of(lambda: adapter.refund(request(TRANSACTION))) is ErrorKind.UNKNOWN_OUTCOME


def test_braintree_is_sent_no_amount_of_another_currency() -> None:
    adapter = braintree({}, currency="USD")
    assert kind_of(lambda: adapter.refund(request(TRANSACTION))) is ErrorKind.CONFIG


def test_braintrees_list_does_not_go_round_for_ever() -> None:
    page = {"pageInfo": {"hasNextPage": True, "endCursor": "c"}, "edges": []}
    adapter = braintree({"data": {"search": {"refunds": page}}})
    kind = kind_of(lambda: list(adapter.refunds_between(None, None)))
    assert kind is ErrorKind.UNKNOWN_OUTCOME


# WooCommerce pays before it writes the rest of a refund down.


def woocommerce(answer: httpx.Response) -> WooCommerceAdapter:
    order = {
        "id": 1,
        "currency": "EUR",
        "total": "50.00",
        "payment_method": "stripe",
        "date_paid_gmt": "2026-11-01T00:00:00",
    }

    def reply(asked: httpx.Request) -> httpx.Response:
        if asked.method == "POST":
            return answer
        is_list = asked.url.path.endswith("/refunds")
        return httpx.Response(200, json=[] if is_list else order)

    return WooCommerceAdapter("https://shop.example.com", "k", "s", http_client=client(reply))


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(400, json={"code": "woocommerce_rest_shop_order_not_created"}), None),
        (httpx.Response(400, json={"code": "a_plugins_own"}), None),
        (httpx.Response(403, text="<html>"), None),
        (httpx.Response(302, headers={"location": "/"}), None),
        (httpx.Response(404, json={"code": "rest_no_route"}), None),
        (httpx.Response(403, json={"code": "woocommerce_rest_cannot_create"}), ErrorKind.AUTH),
        (
            httpx.Response(404, json={"code": "woocommerce_rest_invalid_order_id"}),
            ErrorKind.NOT_FOUND,
        ),
        (httpx.Response(429), ErrorKind.RATE_LIMITED),
    ],
)
def test_woocommerce_refuses_only_with_what_comes_before_the_payment(
    answer: httpx.Response, kind: ErrorKind | None
) -> None:
    adapter = woocommerce(answer)
    found = kind_of(lambda: adapter.refund(request("1")))
    assert found is (kind or ErrorKind.UNKNOWN_OUTCOME)


@pytest.mark.parametrize("secrets", ["", [""], ["good", ""]])
def test_a_shops_empty_webhook_secret_is_refused(secrets: str | list[str]) -> None:
    with pytest.raises(InvalidArgumentError, match="webhook_secrets"):
        WooCommerceAdapter("https://shop.example.com", "k", "s", webhook_secrets=secrets)
    with pytest.raises(InvalidArgumentError, match="webhook_secrets"):
        ShopifyAdapter("acme.myshopify.com", "shpat_1", webhook_secrets=secrets)


# A proxy's JSON is not the processor's word.


@pytest.mark.parametrize("word", ["message", "error"])
@pytest.mark.parametrize("status", [400, 403, 404, 422])
def test_a_proxys_json_is_not_paypals_word(status: int, word: str) -> None:
    token = {"access_token": "t", "expires_in": 32400}

    def reply(asked: httpx.Request) -> httpx.Response:
        if asked.url.path.endswith("/token"):
            return httpx.Response(200, json=token)
        return httpx.Response(status, json={word: "response blocked by policy"})

    adapter = PayPalAdapter("client", "secret", http_client=client(reply))
    assert kind_of(lambda: adapter.refund(request("CAPTURE1"))) is ErrorKind.UNKNOWN_OUTCOME


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (400, {"message": "response blocked by policy"}, ErrorKind.UNKNOWN_OUTCOME),
        (403, {"message": "response blocked by policy"}, ErrorKind.UNKNOWN_OUTCOME),
        (302, {}, ErrorKind.UNKNOWN_OUTCOME),
        (401, {"errors": "[API] Invalid API key or access token"}, ErrorKind.AUTH),
        (404, {"errors": "Not Found"}, ErrorKind.CONFIG),
    ],
)
def test_a_proxys_json_is_not_shopifys_word(
    status: int, content: dict[str, str], kind: ErrorKind
) -> None:
    http = client(lambda _: httpx.Response(status, json=content))
    adapter = ShopifyAdapter("acme.myshopify.com", "shpat_1", http_client=http)
    assert kind_of(lambda: adapter._ask(documents.REFUND, input={}, key="k")) is kind  # pyright: ignore[reportPrivateUsage]
