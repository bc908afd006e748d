"""What `KlarnaAdapter` makes of answers, Klarna's and others."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import httpx
import pytest

from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    InvalidArgumentError,
    UnsupportedFeatureError,
)
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef, RefundRequest, RefundStatus
from dispatch_returns.refunds.adapters.klarna import KlarnaAdapter
from dispatch_returns.refunds.adapters.klarna.adapter import Region
from dispatch_returns.refunds.details import RefundDetails, RefundLine

PASSWORD = "a-password-of-klarna"
PAYMENT = PaymentRef("reference", "f3392f8b-6116-4073-ab96-e330819e2c07")
REQUEST = RefundRequest(
    refund_id=f"rfd_{'0' * 32}",
    idempotency_key=f"rfd_{'0' * 32}-g1",
    payment=PAYMENT,
    amount=Money(595, "EUR"),
    workspace_id="ws_1",
    ticket_id="tkt_1",
    order_id="1234",
)
ORDER: dict[str, Any] = {
    "order_id": PAYMENT.id,
    "status": "PART_CAPTURED",
    "order_amount": 20000,
    "captured_amount": 14900,
    "refunded_amount": 0,
    "purchase_currency": "EUR",
    "created_at": "2026-01-15T09:13:37.000Z",
    "merchant_reference1": "1234",
    "billing_address": {"email": "jane@example.com"},
    "refunds": [],
}
REFUND: dict[str, Any] = {
    "refund_id": "4ba29b50-be7b-44f5-a492-113e6a865e22",
    "refunded_amount": 595,
    "refunded_at": "2026-01-20T09:13:37.000Z",
    "reference": f"{REQUEST.idempotency_key}.ws_1.tkt_1",
    "description": f"Order 1234 ({REQUEST.idempotency_key})",
}
MADE = httpx.Response(201, headers={"Refund-Id": REFUND["refund_id"]})


def klarna(
    order: dict[str, Any], answer: httpx.Response, sent: list[httpx.Request] | None = None
) -> KlarnaAdapter:
    """An adapter whose order is `order`, and whose refund gets `answer`."""

    def handle(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json=order)
        if sent is not None:
            sent.append(request)
        return answer

    client = httpx.Client(transport=httpx.MockTransport(handle))
    return KlarnaAdapter("K1_user", PASSWORD, http_client=client)


def kind_of(call: Callable[[], object]) -> ErrorKind:
    with pytest.raises(AdapterError) as caught:
        call()
    return caught.value.kind


def body_of(request: RefundRequest) -> dict[str, Any]:
    sent: list[httpx.Request] = []
    klarna(ORDER, MADE, sent).refund(request)
    return cast("dict[str, Any]", json.loads(sent[0].content))


def with_refunds(*refunds: Any, refunded: int | None = None) -> dict[str, Any]:
    total = sum(it["refunded_amount"] for it in refunds) if refunded is None else refunded
    return ORDER | {"refunds": list(refunds), "refunded_amount": total}


def test_what_was_captured_can_be_refunded_not_what_was_ordered() -> None:
    payment = klarna(ORDER | {"refunded_amount": 4900}, MADE).payment(PAYMENT)
    assert (payment.charged, payment.remaining) == (Money(14900, "EUR"), Money(10000, "EUR"))
    assert (payment.order_id, payment.email) == ("1234", "jane@example.com")
    assert payment.paid_at == datetime(2026, 1, 15, 9, 13, 37, tzinfo=UTC)
    assert "jane" not in repr(payment)


def test_an_order_of_which_nothing_was_captured_is_not_refundable() -> None:
    adapter = klarna(ORDER | {"status": "AUTHORIZED", "captured_amount": 0}, MADE)
    assert kind_of(lambda: adapter.payment(PAYMENT)) is ErrorKind.NOT_REFUNDABLE
    assert kind_of(lambda: adapter.refund(REQUEST)) is ErrorKind.NOT_REFUNDABLE


def test_the_request_carries_minor_units_our_reference_and_a_uuid_as_key() -> None:
    sent: list[httpx.Request] = []
    made = klarna(ORDER, MADE, sent).refund(REQUEST)
    assert (made.processor_id, made.status) == (REFUND["refund_id"], RefundStatus.SUCCEEDED)
    assert json.loads(sent[0].content) == {
        "refunded_amount": 595,
        "reference": REFUND["reference"],
        "description": REFUND["description"],
    }
    assert sent[0].url == f"https://api.klarna.com/ordermanagement/v1/orders/{PAYMENT.id}/refunds"
    key = sent[0].headers["klarna-idempotency-key"]
    assert UUID(key).version == 5
    klarna(ORDER, MADE, sent).refund(REQUEST)
    klarna(ORDER, MADE, sent).refund(replace(REQUEST, idempotency_key=f"rfd_{'0' * 32}-g2"))
    assert sent[1].headers["klarna-idempotency-key"] == key
    assert sent[2].headers["klarna-idempotency-key"] != key


def test_lines_that_add_up_are_sent() -> None:
    lines = (RefundLine("SKU-1", 2, "A shirt", Money(500, "EUR")),)
    details = RefundDetails(lines=lines, shipping=Money(95, "EUR"))
    article, shipping = body_of(replace(REQUEST, details=details))["order_lines"]
    assert article == {
        "reference": "SKU-1",
        "type": "physical",
        "name": "A shirt",
        "quantity": 2,
        "unit_price": 250,
        "total_amount": 500,
    }
    assert (shipping["type"], shipping["total_amount"]) == ("shipping_fee", 95)


@pytest.mark.parametrize(
    "lines",
    [
        (RefundLine("SKU-1", 1, None, Money(500, "EUR")),),
        (RefundLine("SKU-1", 1, None, None),),
        (RefundLine("SKU-1", 2, None, Money(595, "EUR")),),
    ],
)
def test_lines_that_do_not_fit_the_amount_are_left_out(lines: tuple[RefundLine, ...]) -> None:
    assert "order_lines" not in body_of(replace(REQUEST, details=RefundDetails(lines=lines)))


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (400, {"error_code": "BAD_VALUE"}, ErrorKind.CONFIG),
        (401, None, ErrorKind.AUTH),
        (403, {"error_code": "REFUND_NOT_ALLOWED"}, ErrorKind.NOT_REFUNDABLE),
        (403, {"error_code": "NOT_ALLOWED"}, ErrorKind.NOT_REFUNDABLE),
        (403, {"error_code": "SOMETHING"}, ErrorKind.AUTH),
        (404, {"error_code": "NO_SUCH_ORDER"}, ErrorKind.NOT_FOUND),
        (409, {"error_code": "CONFLICT"}, ErrorKind.IN_PROGRESS),
        (422, {"error_code": "UNPROCESSABLE_ENTITY"}, ErrorKind.CONFIG),
        (429, None, ErrorKind.RATE_LIMITED),
        (500, {"error_code": "INTERNAL_SERVER_ERROR"}, ErrorKind.UNKNOWN_OUTCOME),
        (503, {"error_code": "TEMPORARILY_UNAVAILABLE"}, ErrorKind.UNKNOWN_OUTCOME),
        # A proxy's page: not Klarna's word.
        (403, None, ErrorKind.UNKNOWN_OUTCOME),
        (404, {"message": "no route"}, ErrorKind.UNKNOWN_OUTCOME),
        # It was made, and only its id is missing.
        (201, None, ErrorKind.UNKNOWN_OUTCOME),
    ],
)
def test_each_answer_has_its_kind(status: int, content: Any, kind: ErrorKind) -> None:
    adapter = klarna(ORDER, httpx.Response(status, json=content))
    assert kind_of(lambda: adapter.refund(REQUEST)) is kind


def test_what_klarna_writes_is_not_repeated_but_its_correlation_id_is() -> None:
    content = {
        "error_code": "REFUND_NOT_ALLOWED",
        "error_messages": ["Jane Doe"],
        "correlation_id": "6bf4d2e8-9d5b",
    }
    with pytest.raises(AdapterError) as caught:
        klarna(ORDER, httpx.Response(403, json=content)).refund(REQUEST)
    assert "Jane" not in f"{caught.value}"
    assert "6bf4d2e8-9d5b" in f"{caught.value}"


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": Money(0, "EUR")},
        {"payment": PaymentRef("payment_intent", "pi_1")},
        {"payment": replace(PAYMENT, account="org_1")},
        {"idempotency_key": "k" * 201},
    ],
)
def test_what_klarna_cannot_express_is_refused_before_it_is_sent(changes: dict[str, Any]) -> None:
    sent: list[httpx.Request] = []
    with pytest.raises(UnsupportedFeatureError):
        klarna(ORDER, MADE, sent).refund(replace(REQUEST, **changes))
    assert not sent


@pytest.mark.parametrize(
    ("amount", "kind"),
    [
        (Money(14901, "EUR"), ErrorKind.EXCEEDS_REMAINING),
        # The request has no currency: Klarna would take it for the order's.
        (Money(595, "SEK"), ErrorKind.CONFIG),
        (Money(595, "EUR", 0), ErrorKind.CONFIG),
    ],
)
def test_an_amount_that_does_not_fit_the_order_is_not_sent(amount: Money, kind: ErrorKind) -> None:
    sent: list[httpx.Request] = []
    adapter = klarna(ORDER, MADE, sent)
    assert kind_of(lambda: adapter.refund(replace(REQUEST, amount=amount))) is kind
    assert not sent


def test_an_orders_id_never_leads_to_another_path() -> None:
    ref = PaymentRef("reference", "x/../../v2")
    assert kind_of(lambda: klarna(ORDER, MADE).payment(ref)) is ErrorKind.NOT_FOUND


@pytest.mark.parametrize("hidden", ["reference", "description"])
def test_our_refund_is_found_by_its_reference_or_its_description(hidden: str) -> None:
    shown = {name: value for name, value in REFUND.items() if name != hidden}
    found = klarna(with_refunds(shown), MADE).find(REQUEST)
    assert found is not None
    assert (found.processor_id, found.amount) == (REFUND["refund_id"], REQUEST.amount)


@pytest.mark.parametrize("key", [REQUEST.idempotency_key, f"rfd_{'0' * 32}-g2"])
def test_a_refund_that_is_there_is_not_made_again_under_any_key(key: str) -> None:
    sent: list[httpx.Request] = []
    adapter = klarna(with_refunds(REFUND), MADE, sent)
    made = adapter.refund(replace(REQUEST, idempotency_key=key))
    assert made.processor_id == REFUND["refund_id"]
    other = replace(REQUEST, idempotency_key=key, amount=Money(600, "EUR"))
    assert kind_of(lambda: adapter.refund(other)) is ErrorKind.KEY_CONFLICT
    assert not sent


def test_a_refund_made_in_the_portal_is_not_ours() -> None:
    by_hand = REFUND | {"reference": None, "description": "Sorry (a gift)"}
    assert klarna(with_refunds(by_hand), MADE).find(REQUEST) is None


def test_two_refunds_of_ours_are_for_a_person() -> None:
    adapter = klarna(with_refunds(REFUND, REFUND | {"refund_id": "r-2"}), MADE)
    assert kind_of(lambda: adapter.find(REQUEST)) is ErrorKind.KEY_CONFLICT


@pytest.mark.parametrize(
    "order",
    [
        with_refunds(REFUND | {"refunded_at": "yesterday"}),
        with_refunds(REFUND | {"refund_id": 5}),
        with_refunds(REFUND | {"refunded_amount": "5.95"}, refunded=595),
        # The list lags behind the sum.
        with_refunds(refunded=595),
    ],
)
def test_a_refund_that_cannot_be_read_or_is_missing_may_be_ours(order: dict[str, Any]) -> None:
    sent: list[httpx.Request] = []
    adapter = klarna(order, MADE, sent)
    assert kind_of(lambda: adapter.find(REQUEST)) is ErrorKind.UNREADABLE_REFUND
    assert kind_of(lambda: adapter.refund(REQUEST)) is ErrorKind.UNREADABLE_REFUND
    assert not sent


@pytest.mark.parametrize("change", [{"refunds": "none"}, {"refunded_amount": None}])
def test_an_order_of_another_shape_is_an_unknown_outcome(change: dict[str, Any]) -> None:
    adapter = klarna(ORDER | change, MADE)
    assert kind_of(lambda: adapter.find(REQUEST)) is ErrorKind.UNKNOWN_OUTCOME


# Settings.


@pytest.mark.parametrize(
    ("region", "test", "host"),
    [
        ("eu", False, "api.klarna.com"),
        ("na", False, "api-na.klarna.com"),
        ("oc", False, "api-oc.klarna.com"),
        ("eu", True, "api.playground.klarna.com"),
        ("na", True, "api-na.playground.klarna.com"),
        ("oc", True, "api-oc.playground.klarna.com"),
    ],
)
def test_each_region_has_its_host(region: Region, test: bool, host: str) -> None:
    assert f"'https://{host}'" in repr(KlarnaAdapter("K1_u", PASSWORD, region=region, test=test))


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("username", {"username": ""}),
        ("username", {"username": "a:b"}),
        ("password", {"password": ""}),
        ("password", {"password": "line\nbreak"}),
        ("region", {"region": "mars"}),
        ("base_url", {"base_url": "http://klarna.example"}),
    ],
)
def test_a_bad_argument_is_named(argument: str, values: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=argument):
        KlarnaAdapter(**{"username": "K1_u", "password": PASSWORD} | values)


def test_doctor_hears_whether_the_credentials_are_accepted() -> None:
    def handle(request: httpx.Request) -> httpx.Response:
        given = b64decode(request.headers["authorization"].removeprefix("Basic "))
        right = given == f"K1_u:{PASSWORD}".encode()
        status = 404 if right else 401
        return httpx.Response(status, json={"error_code": "NO_SUCH_ORDER"} if right else None)

    client = httpx.Client(transport=httpx.MockTransport(handle))
    assert "live mode" in KlarnaAdapter("K1_u", PASSWORD, http_client=client).check()
    wrong = KlarnaAdapter("K1_u", "another", http_client=client)
    assert kind_of(wrong.check) is ErrorKind.AUTH
