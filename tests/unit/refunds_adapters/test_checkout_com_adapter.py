"""What `CheckoutComAdapter` makes of answers and webhooks, Checkout.com's and others."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    EventError,
    InvalidArgumentError,
    SignatureError,
    UnsupportedFeatureError,
)
from dispatch_returns.money import CurrencyRule, Money
from dispatch_returns.refunds.adapter import PaymentRef, RefundRequest, RefundStatus
from dispatch_returns.refunds.adapters.checkout_com import CheckoutComAdapter

KEY = f"sk_sbox_{'a' * 27}"
SECRET = "a-signature-key"
PAYMENT = PaymentRef("reference", "pay_234iojjumr4ejphuvcsnpnugs4")
ACTION = "act_v3ap4uxinl6exk5hdgetatbywi"
REQUEST = RefundRequest(
    refund_id=f"rfd_{'0' * 32}",
    idempotency_key=f"rfd_{'0' * 32}-g1",
    payment=PAYMENT,
    amount=Money(595, "EUR"),
    workspace_id="ws_1",
    ticket_id="tkt_1",
    order_id="1234",
)
REFERENCE = f"{REQUEST.idempotency_key}.ws_1.tkt_1"
BALANCES = {"total_captured": 14900, "total_refunded": 0, "available_to_refund": 14900}
PAID: dict[str, Any] = {
    "id": PAYMENT.id,
    "requested_on": "2026-01-15T09:13:37.7515599Z",
    "amount": 14900,
    "currency": "EUR",
    "status": "Captured",
    "balances": BALANCES,
    "metadata": {"order_id": "1234"},
}
REFUND: dict[str, Any] = {
    "id": ACTION,
    "type": "Refund",
    "processed_on": "2026-01-16T09:13:37.7515599Z",
    "amount": 595,
    "approved": True,
    "response_code": "10000",
    "reference": REFERENCE,
}
ACCEPTED = {"action_id": ACTION, "reference": REFERENCE}


class Server:
    """Answers as Checkout.com would; `sent` is what it was asked to refund."""

    def __init__(self, status: int = 202, content: Any = ACCEPTED, **changes: Any) -> None:
        self.status, self.content = status, content
        self.payment: Any = PAID | changes
        self.actions: Any = []
        self.headers = {"cko-request-id": "a-request"}
        self.sent: list[httpx.Request] = []

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            shown = self.actions if request.url.path.endswith("/actions") else self.payment
            return httpx.Response(200, json=shown)
        self.sent.append(request)
        content = b"" if self.content is None else json.dumps(self.content).encode()
        return httpx.Response(self.status, content=content, headers=self.headers)

    @property
    def adapter(self) -> CheckoutComAdapter:
        client = httpx.Client(transport=httpx.MockTransport(self.answer))
        return CheckoutComAdapter(KEY, webhook_secrets=["old", SECRET], http_client=client)


def kind_of(call: Callable[[], object]) -> ErrorKind:
    with pytest.raises(AdapterError) as caught:
        call()
    return caught.value.kind


# The payment.


def test_a_payment_says_what_is_left_and_which_order_it_is() -> None:
    balances = BALANCES | {"total_refunded": 4900, "available_to_refund": 10000}
    payment = Server(balances=balances).adapter.payment(PAYMENT)
    assert payment.remaining == Money(10000, "EUR")
    assert payment.order_id == "1234"
    assert payment.paid_at == datetime(2026, 1, 15, 9, 13, 37, 751559, tzinfo=UTC)


def test_what_is_not_available_is_not_left() -> None:
    payment = Server(balances=BALANCES | {"available_to_refund": 900}).adapter.payment(PAYMENT)
    assert payment.remaining == Money(900, "EUR")


def test_what_was_not_captured_is_not_refundable() -> None:
    adapter = Server(balances=BALANCES | {"total_captured": 0}).adapter
    assert kind_of(lambda: adapter.payment(PAYMENT)) is ErrorKind.NOT_REFUNDABLE


@pytest.mark.parametrize(
    "changes", [{"balances": None}, {"currency": 5}, {"balances": BALANCES | {"total_captured": 1}}]
)
def test_a_payment_that_cannot_be_read_is_an_unknown_outcome(changes: dict[str, Any]) -> None:
    adapter = Server(**changes).adapter
    assert kind_of(lambda: adapter.payment(PAYMENT)) is ErrorKind.UNKNOWN_OUTCOME


@pytest.mark.parametrize(
    ("currency", "rule"),
    [
        ("EUR", CurrencyRule()),
        ("JPY", CurrencyRule(decimals=0)),
        ("isk", CurrencyRule(decimals=0)),
        ("CLP", CurrencyRule(step=100)),
        ("KWD", CurrencyRule(decimals=3, step=10)),
    ],
)
def test_each_currency_has_checkout_coms_decimals(currency: str, rule: CurrencyRule) -> None:
    assert CheckoutComAdapter.capabilities.currency_rule(currency) == rule


# The refund.


def test_the_request_carries_the_minor_units_our_reference_and_the_key() -> None:
    server = Server()
    made = server.adapter.refund(REQUEST)
    assert (made.processor_id, made.status) == (ACTION, RefundStatus.PENDING)
    assert json.loads(server.sent[0].content) == {"amount": 595, "reference": REFERENCE}
    assert server.sent[0].headers["cko-idempotency-key"] == REQUEST.idempotency_key


@pytest.mark.parametrize("approved", [True, None])
def test_a_refund_that_is_there_is_not_made_again(approved: bool | None) -> None:
    server = Server()
    server.actions = [REFUND | {"approved": approved}]
    assert server.adapter.refund(REQUEST).processor_id == ACTION
    assert not server.sent


def test_a_refund_that_cannot_be_read_may_be_ours() -> None:
    server = Server()
    server.actions = [REFUND | {"amount": "5.95"}, "nothing"]
    assert kind_of(lambda: server.adapter.refund(REQUEST)) is ErrorKind.UNREADABLE_REFUND
    assert not server.sent


def test_another_currency_than_the_payments_is_not_sent() -> None:
    server = Server(currency="USD")
    assert kind_of(lambda: server.adapter.refund(REQUEST)) is ErrorKind.CONFIG
    assert not server.sent


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (401, None, ErrorKind.AUTH),
        (403, None, ErrorKind.NOT_REFUNDABLE),
        (404, None, ErrorKind.NOT_FOUND),
        (409, None, ErrorKind.IN_PROGRESS),
        (422, {"error_codes": ["amount_invalid"]}, ErrorKind.CONFIG),
        (422, {"error_codes": ["refund_amount_exceeds_balance"]}, ErrorKind.EXCEEDS_REMAINING),
        (422, {"error_codes": "strange"}, ErrorKind.CONFIG),
        (429, None, ErrorKind.RATE_LIMITED),
        (500, None, ErrorKind.UNKNOWN_OUTCOME),
        (502, {"error_type": "processing_error"}, ErrorKind.UNKNOWN_OUTCOME),
        (202, {"action_id": ACTION, "reference": "another"}, ErrorKind.UNKNOWN_OUTCOME),
        (202, {"reference": REFERENCE}, ErrorKind.UNKNOWN_OUTCOME),
        (202, [], ErrorKind.UNKNOWN_OUTCOME),
    ],
)
def test_each_answer_has_its_kind(status: int, content: Any, kind: ErrorKind) -> None:
    adapter = Server(status, content).adapter
    assert kind_of(lambda: adapter.refund(REQUEST)) is kind


@pytest.mark.parametrize("status", [403, 404, 409, 422])
def test_a_proxys_page_is_not_checkout_coms_word(status: int) -> None:
    server = Server(status, None)
    server.headers = {}
    assert kind_of(lambda: server.adapter.refund(REQUEST)) is ErrorKind.UNKNOWN_OUTCOME


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": Money(0, "EUR")},
        {"payment": PaymentRef("payment_intent", "pi_1")},
        {"payment": replace(PAYMENT, account="ent_1")},
        {"idempotency_key": "k" * 256},
    ],
)
def test_what_cannot_be_expressed_is_refused_before_it_is_sent(changes: dict[str, Any]) -> None:
    server = Server()
    with pytest.raises(UnsupportedFeatureError):
        server.adapter.refund(replace(REQUEST, **changes))
    assert not server.sent


def test_a_payments_id_never_leads_to_another_path() -> None:
    ref = PaymentRef("reference", "pay_1/../../disputes")
    assert kind_of(lambda: Server().adapter.payment(ref)) is ErrorKind.NOT_FOUND


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({}, RefundStatus.SUCCEEDED),
        ({"approved": None}, RefundStatus.PENDING),
        ({"approved": False, "response_code": "20005"}, RefundStatus.FAILED),
        # Not approved, and not declined either: it may still be paid.
        ({"approved": False, "response_code": None}, RefundStatus.PENDING),
        ({"approved": False, "response_code": "10000"}, RefundStatus.PENDING),
    ],
)
def test_only_a_code_that_declines_makes_a_refund_a_failed_one(
    changes: dict[str, Any], status: RefundStatus
) -> None:
    server = Server()
    server.actions = [REFUND | changes, {"type": "Capture", "id": "act_1"}]
    found = server.adapter.find(REQUEST)
    assert found is not None
    assert found.status is status


# Webhooks.


def delivery(content: Any, secret: str = SECRET) -> WebhookRequest:
    body = json.dumps(content).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return WebhookRequest("POST", "/", {"Cko-Signature": signature}, body)


def event(kind: str = "payment_refunded", **changes: Any) -> dict[str, Any]:
    return {
        "id": "evt_sojezy57bieu5hbxrmem74jx54",
        "type": kind,
        "created_on": "2026-01-16T09:28:33.7515599Z",
        "data": {
            "id": PAYMENT.id,
            "action_id": ACTION,
            "reference": REFERENCE,
            "amount": 595,
            "processed_on": "2026-01-16T09:13:37.7515599Z",
            "response_code": "10000" if kind == "payment_refunded" else "20005",
            "currency": "EUR",
            **changes,
        },
    }


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("payment_refunded", RefundStatus.SUCCEEDED),
        ("payment_refund_declined", RefundStatus.FAILED),
    ],
)
def test_a_signed_event_names_its_refund(kind: str, status: RefundStatus) -> None:
    adapter, request = Server().adapter, delivery(event(kind))
    (head,) = adapter.verify_webhook(request)
    assert (head.type, head.ticket_id) == (kind, "tkt_1")
    update = adapter.parse_event(request.body)
    assert update is not None
    assert update.payments == (PAYMENT,)
    (refund,) = update.refunds
    assert (refund.refund_id, refund.result.status) == (REQUEST.refund_id, status)


def test_an_event_with_another_reference_still_names_the_refund_by_its_id() -> None:
    update = Server().adapter.parse_event(json.dumps(event(reference="ORD-5023")).encode())
    assert update is not None
    assert (update.refunds[0].result.processor_id, update.refunds[0].refund_id) == (ACTION, None)


def test_an_event_about_something_else_says_nothing() -> None:
    assert Server().adapter.parse_event(json.dumps(event("payment_captured")).encode()) is None


@pytest.mark.parametrize("header", ["", "00", "\xe9"])
def test_a_wrong_signature_is_refused(header: str) -> None:
    request = replace(delivery(event()), headers={"cko-signature": header})
    with pytest.raises(SignatureError):
        Server().adapter.verify_webhook(request)


def test_without_a_secret_nothing_is_accepted() -> None:
    with pytest.raises(SignatureError, match="CHECKOUT_COM_WEBHOOK_SECRET"):
        CheckoutComAdapter(KEY).verify_webhook(delivery(event()))


@pytest.mark.parametrize(
    "content", [[], {}, event() | {"type": 5}, event() | {"created_on": "now"}]
)
def test_a_signed_event_that_cannot_be_read_is_kept(content: Any) -> None:
    with pytest.raises(EventError):
        Server().adapter.verify_webhook(delivery(content))


# Settings.


@pytest.mark.parametrize("key", ["", "sk_test_1", "sk_be458ac1-f20e-4194-bf58-b28e5ffd88e7"])
def test_a_key_of_another_form_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        CheckoutComAdapter(key)
    assert not key or key not in f"{caught.value}"


def test_only_the_form_of_checkout_coms_ids_is_recognized() -> None:
    adapter = CheckoutComAdapter(KEY)
    assert adapter.recognizes(PAYMENT.id)
    assert not adapter.recognizes("pay_29QQoUBi66xm2f")  # Razorpay's form
