"""What `SquareAdapter` makes of answers and webhooks, Square's and others."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Iterator, Mapping
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
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import (
    KnownRefund,
    PaymentRef,
    RefundRequest,
    RefundStatus,
    UnreadableRefund,
)
from dispatch_returns.refunds.adapters.square import SquareAdapter
from tests.support.described import SPECS, Description

TOKEN = "EAAA-a-token-of-a-test"
KEY = "a-signature-key"
URL = "https://shop.example/webhooks/square"
PAYMENT = PaymentRef("reference", "R2B3Z8WMVt3EAmzYWLZvz7Y69EbZY")
REQUEST = RefundRequest(
    refund_id=f"rfd_{'0' * 32}",
    idempotency_key=f"rfd_{'0' * 32}-g1",
    payment=PAYMENT,
    amount=Money(595, "USD"),
    workspace_id="ws_1",
    ticket_id="tkt_1",
)
PAID: dict[str, Any] = {
    "id": PAYMENT.id,
    "status": "COMPLETED",
    "amount_money": {"amount": 14900, "currency": "USD"},
    "created_at": "2026-01-15T09:13:37.123Z",
}
REFUND: dict[str, Any] = {
    "id": f"{PAYMENT.id}_KlWP8IC1557ddwc9QWTKrCVU6m0JXDz15R2Qym5eQfR",
    "status": "PENDING",
    "amount_money": {"amount": 595, "currency": "USD"},
    "payment_id": PAYMENT.id,
    "reason": f"{REQUEST.idempotency_key}.ws_1.tkt_1",
    "created_at": "2026-01-16T09:13:37.123Z",
}


def adapter_for(answer: Callable[[httpx.Request], httpx.Response]) -> SquareAdapter:
    client = httpx.Client(transport=httpx.MockTransport(answer))
    return SquareAdapter(TOKEN, signature_keys=KEY, webhook_url=URL, http_client=client)


def answering(status: int, content: Any) -> SquareAdapter:
    return adapter_for(lambda _: httpx.Response(status, json=content))


def having(payment: Mapping[str, Any], *refunds: Mapping[str, Any]) -> SquareAdapter:
    """An adapter for a Square that has this payment and these refunds."""
    found = {f"/v2/refunds/{it['id']}": {"refund": it} for it in refunds}
    found[f"/v2/payments/{PAYMENT.id}"] = {"payment": dict(payment)}
    missing = {"errors": [{"category": "INVALID_REQUEST_ERROR", "code": "NOT_FOUND"}]}

    def answer(request: httpx.Request) -> httpx.Response:
        there = found.get(request.url.path)
        return httpx.Response(404 if there is None else 200, json=there or missing)

    return adapter_for(answer)


def failing(code: str) -> dict[str, Any]:
    return {"errors": [{"category": "REFUND_ERROR", "code": code, "detail": "Jane Doe's account"}]}


def kind_of(call: Callable[[], object]) -> ErrorKind:
    with pytest.raises(AdapterError) as caught:
        call()
    assert "Jane" not in f"{caught.value}"
    return caught.value.kind


def test_a_payment_says_what_is_left_with_its_tip() -> None:
    more = {
        "total_money": {"amount": 15900, "currency": "USD"},
        "refunded_money": {"amount": 900, "currency": "USD"},
        "reference_id": "1234",
    }
    payment = having(PAID | more).payment(PAYMENT)
    assert payment.remaining == Money(15000, "USD")
    assert payment.order_id == "1234"
    assert payment.paid_at == datetime(2026, 1, 15, 9, 13, 37, 123000, tzinfo=UTC)


@pytest.mark.parametrize("status", ["CANCELED", "FAILED"])
def test_what_was_not_paid_is_not_refundable(status: str) -> None:
    adapter = having(PAID | {"status": status})
    assert kind_of(lambda: adapter.payment(PAYMENT)) is ErrorKind.NOT_REFUNDABLE


@pytest.mark.parametrize(
    "change",
    [
        {"amount_money": {"amount": "14900", "currency": "USD"}},
        {"amount_money": {"amount": 14900, "currency": "KWD"}},
        {"refunded_money": {"amount": 1, "currency": "EUR"}},
        {"created_at": "2026-01-15T09:13:37"},
    ],
)
def test_a_payment_that_is_not_as_described_is_not_guessed(change: dict[str, Any]) -> None:
    adapter = having(PAID | change)
    assert kind_of(lambda: adapter.payment(PAYMENT)) is ErrorKind.UNKNOWN_OUTCOME


def test_the_request_carries_our_reference_as_the_reason() -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, json={"refund": REFUND})

    assert adapter_for(answer).refund(REQUEST).status is RefundStatus.PENDING
    assert json.loads(sent[0].content) == {
        "idempotency_key": REQUEST.idempotency_key,
        "payment_id": PAYMENT.id,
        "amount_money": {"amount": 595, "currency": "USD"},
        "reason": REFUND["reason"],
    }
    assert sent[0].headers["square-version"]


def test_a_ticket_id_that_does_not_fit_leaves_the_key() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert json.loads(request.content)["reason"] == REQUEST.idempotency_key
        return httpx.Response(200, json={"refund": REFUND})

    adapter_for(answer).refund(replace(REQUEST, ticket_id="t" * 192))


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (401, failing("UNAUTHORIZED"), ErrorKind.AUTH),
        (403, failing("INSUFFICIENT_PERMISSIONS_FOR_REFUND"), ErrorKind.AUTH),
        (404, failing("NOT_FOUND"), ErrorKind.NOT_FOUND),
        (400, failing("IDEMPOTENCY_KEY_REUSED"), ErrorKind.KEY_CONFLICT),
        (409, failing("CONFLICT"), ErrorKind.IN_PROGRESS),
        (400, failing("REFUND_ALREADY_PENDING"), ErrorKind.IN_PROGRESS),
        (400, failing("REFUND_AMOUNT_INVALID"), ErrorKind.EXCEEDS_REMAINING),
        (400, failing("PAYMENT_NOT_REFUNDABLE"), ErrorKind.NOT_REFUNDABLE),
        (400, failing("PAYMENT_NOT_REFUNDABLE_DUE_TO_DISPUTE"), ErrorKind.DISPUTED),
        (400, failing("REFUND_ERROR_PAYMENT_NEEDS_COMPLETION"), ErrorKind.NOT_SETTLED),
        (400, failing("REFUND_DECLINED"), ErrorKind.NOT_REFUNDABLE),
        (400, failing("UNSUPPORTED_CURRENCY"), ErrorKind.CONFIG),
        (429, {}, ErrorKind.RATE_LIMITED),
        # Square's word is missing, is not known, or comes with a 5xx: it may have been done.
        (404, None, ErrorKind.UNKNOWN_OUTCOME),
        (400, failing("SOMETHING_NEW"), ErrorKind.UNKNOWN_OUTCOME),
        (400, {"errors": []}, ErrorKind.UNKNOWN_OUTCOME),
        (400, {"errors": [{"code": ["NOT_FOUND"]}]}, ErrorKind.UNKNOWN_OUTCOME),
        (500, failing("REFUND_DECLINED"), ErrorKind.UNKNOWN_OUTCOME),
        (408, failing("REQUEST_TIMEOUT"), ErrorKind.UNKNOWN_OUTCOME),
        (200, {}, ErrorKind.UNKNOWN_OUTCOME),
        (200, {"refund": REFUND | {"status": "NEW"}}, ErrorKind.UNKNOWN_OUTCOME),
    ],
)
def test_each_answer_has_its_kind(status: int, content: Any, kind: ErrorKind) -> None:
    assert kind_of(lambda: answering(status, content).refund(REQUEST)) is kind


_LEFT_UNKNOWN = {
    # About fees and cards that the adapter never sends: nobody knows what they mean here.
    *("CARD_MISMATCH", "CARD_TOKEN_USED", "INVALID_CARD", "INVALID_CARD_DATA", "INVALID_FEES"),
    *("UNSUPPORTED_CARD_BRAND", "UNSUPPORTED_COUNTRY"),
}


def test_every_error_that_square_describes_for_a_refund_was_considered() -> None:
    described = json.loads((SPECS / "square-refunds.json").read_text("utf-8"))["refundErrors"]
    unknown = {
        code
        for code in described
        if kind_of(lambda: answering(400, failing(code)).refund(REQUEST))  # noqa: B023
        is ErrorKind.UNKNOWN_OUTCOME
    }
    assert unknown == _LEFT_UNKNOWN


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("PENDING", RefundStatus.PENDING),
        ("COMPLETED", RefundStatus.SUCCEEDED),
        ("REJECTED", RefundStatus.FAILED),
        ("FAILED", RefundStatus.FAILED),
    ],
)
def test_each_status_has_its_meaning(status: str, expected: RefundStatus) -> None:
    answer = {"refund": REFUND | {"status": status}}
    Description("square-refunds").check(answer, "RefundPaymentResponse")
    assert answering(200, answer).refund(REQUEST).status is expected


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": Money(0, "USD")},
        {"amount": Money(500, "JPY", 2)},
        {"amount": Money(500, "KWD", 3)},
        {"payment": PaymentRef("payment_intent", "pi_1")},
        {"payment": replace(PAYMENT, account="merchant_1")},
        {"idempotency_key": "k" * 46},
    ],
)
def test_what_square_cannot_express_is_refused_before_it_is_sent(changes: dict[str, Any]) -> None:
    def never(_: httpx.Request) -> httpx.Response:
        raise AssertionError("it was sent")

    with pytest.raises(UnsupportedFeatureError):
        adapter_for(never).refund(replace(REQUEST, **changes))


def test_a_payments_id_never_leads_to_another_path() -> None:
    ref = PaymentRef("reference", "x/../../v2/refunds")
    assert kind_of(lambda: answering(200, {"payment": PAID}).payment(ref)) is ErrorKind.NOT_FOUND


# The look-up.


def test_a_refund_is_found_by_its_own_id_before_the_payment_names_it() -> None:
    adapter = having(PAID, REFUND)
    assert adapter.find(REQUEST) is None
    found = adapter.find(REQUEST, REFUND["id"])
    assert found is not None
    assert found.ours


def test_a_refund_that_the_payment_names_and_square_does_not_show_may_be_ours() -> None:
    adapter = having(PAID | {"refund_ids": [REFUND["id"]]})
    assert kind_of(lambda: adapter.find(REQUEST)) is ErrorKind.UNKNOWN_OUTCOME


def test_a_refund_that_cannot_be_read_is_named_and_may_be_ours() -> None:
    adapter = having(PAID | {"refund_ids": [REFUND["id"]]}, REFUND | {"status": "BY_PIGEON"})
    (listed,) = adapter.refunds_of(PAYMENT)
    assert isinstance(listed, UnreadableRefund)
    assert listed.processor_id == REFUND["id"]
    assert kind_of(lambda: adapter.find(REQUEST)) is ErrorKind.UNREADABLE_REFUND


def test_a_refund_id_that_leads_to_another_path_is_not_followed() -> None:
    (listed,) = having(PAID | {"refund_ids": ["../payments"]}).refunds_of(PAYMENT)
    assert listed == UnreadableRefund(None, "its id is not as Square describes it")


def test_a_payment_without_a_readable_list_of_refunds_is_not_one_without_refunds() -> None:
    adapter = having(PAID | {"refund_ids": "none"})
    assert kind_of(lambda: adapter.find(REQUEST)) is ErrorKind.UNKNOWN_OUTCOME


def test_two_refunds_of_ours_are_for_a_person() -> None:
    second = REFUND | {"id": f"{REFUND['id']}2"}
    adapter = having(PAID | {"refund_ids": [REFUND["id"], second["id"]]}, REFUND, second)
    assert kind_of(lambda: adapter.find(REQUEST)) is ErrorKind.KEY_CONFLICT


def test_the_list_follows_its_cursor_and_stops_at_what_is_too_new() -> None:
    asked: list[str | None] = []
    newer = REFUND | {"id": "newer", "created_at": "2026-02-01T00:00:00Z"}
    pages: dict[str | None, Any] = {
        None: {"refunds": [REFUND], "cursor": "2"},
        "2": {"refunds": [newer], "cursor": "3"},
    }

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.params["begin_time"] == "2026-01-01T00:00:00.000Z"
        asked.append(request.url.params.get("cursor"))
        return httpx.Response(200, json=pages[asked[-1]])

    since, until = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 20, tzinfo=UTC)
    listed = list(adapter_for(answer).refunds_between(since, until))
    assert [it.result.processor_id for it in listed if isinstance(it, KnownRefund)] == [
        REFUND["id"]
    ]
    assert asked == [None, "2"]


def test_pages_that_repeat_are_no_list() -> None:
    adapter = answering(200, {"refunds": [REFUND], "cursor": "1"})
    assert kind_of(lambda: list(adapter.refunds_between(None, None))) is ErrorKind.UNKNOWN_OUTCOME


# Webhooks.


def delivery(content: Any, url: str = URL, key: str = KEY) -> WebhookRequest:
    body = json.dumps(content).encode()
    digest = hmac.new(key.encode(), url.encode() + body, hashlib.sha256).digest()
    headers = {"X-Square-HmacSha256-Signature": base64.b64encode(digest).decode()}
    # What this server sees behind its proxy has nothing to do with what is signed.
    return WebhookRequest("POST", "/internal/path", headers, body)


def event(kind: str = "refund.updated") -> dict[str, Any]:
    return {
        "merchant_id": "6SSW7HV8K2ST5",
        "type": kind,
        "event_id": "bc316346-6691-4243-88ed-6d651a0d0c47",
        "created_at": "2026-01-16T09:13:38.123Z",
        "data": {"type": "refund", "id": REFUND["id"], "object": {"refund": REFUND}},
    }


@pytest.fixture
def adapter() -> Iterator[SquareAdapter]:
    with httpx.Client() as client:
        keys = ["old", KEY]
        yield SquareAdapter(TOKEN, signature_keys=keys, webhook_url=URL, http_client=client)


def test_a_signed_delivery_names_its_refund(adapter: SquareAdapter) -> None:
    request = delivery(event())
    (head,) = adapter.verify_webhook(request)
    assert (head.event_id, head.type) == (event()["event_id"], "refund.updated")
    assert head.ticket_id == "tkt_1"
    update = adapter.parse_event(request.body)
    assert update is not None
    assert update.payments == (PAYMENT,)
    assert update.refunds[0].refund_id == REQUEST.refund_id


def test_an_event_about_something_else_says_nothing(adapter: SquareAdapter) -> None:
    assert adapter.parse_event(json.dumps(event("payment.updated")).encode()) is None


@pytest.mark.parametrize(
    "request_",
    [
        delivery(event(), url="https://shop.example/webhooks/other"),
        delivery(event(), key="another"),
        replace(delivery(event()), body=b"{}"),
        *(
            replace(delivery(event()), headers={"x-square-hmacsha256-signature": it})
            for it in ("", "AAAA", "\xe9")
        ),
        replace(delivery(event()), headers={}),
    ],
)
def test_a_wrong_signature_is_refused(adapter: SquareAdapter, request_: WebhookRequest) -> None:
    with pytest.raises(SignatureError):
        adapter.verify_webhook(request_)


def test_without_a_key_nothing_is_accepted() -> None:
    with pytest.raises(SignatureError, match="SQUARE_SIGNATURE_KEY"):
        SquareAdapter(TOKEN).verify_webhook(delivery(event()))


@pytest.mark.parametrize(
    "content",
    [[], {}, {"type": "refund.updated"}, event() | {"event_id": 5}, event() | {"type": 5}],
)
def test_a_signed_event_that_cannot_be_read_is_kept(adapter: SquareAdapter, content: Any) -> None:
    with pytest.raises(EventError):
        adapter.verify_webhook(delivery(content))


# Settings.


@pytest.mark.parametrize("token", ["", "short", "EAAA with a blank in it"])
def test_a_token_of_another_form_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        SquareAdapter(token)
    assert not token or token not in f"{caught.value}"


def test_a_signature_key_needs_the_notification_url() -> None:
    with pytest.raises(InvalidArgumentError, match="notification URL"):
        SquareAdapter(TOKEN, signature_keys=KEY)


def test_the_server_says_the_mode() -> None:
    sandbox = SquareAdapter(TOKEN, base_url="https://connect.squareupsandbox.com")
    assert (SquareAdapter(TOKEN).mode, sandbox.mode) == ("live", "sandbox")


def test_check_says_that_no_webhook_is_accepted() -> None:
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json={})))
    assert "SQUARE_SIGNATURE_KEY" in SquareAdapter(TOKEN, http_client=client).check()


def test_the_account_is_the_merchant() -> None:
    assert answering(200, {"merchant": {"id": "6SSW7HV8K2ST5"}}).account() == "6SSW7HV8K2ST5"
    assert answering(403, failing("INSUFFICIENT_SCOPES")).account() is None
