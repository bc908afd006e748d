"""What `MollieAdapter` makes of answers and webhooks, Mollie's and others."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable, Iterator
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
from dispatch_returns.refunds.adapters.mollie import MollieAdapter

KEY = "test_SandboxMollieKey0123456789ab"
SECRET = "a-signing-secret"
PAYMENT = PaymentRef("reference", "tr_5B8cwPMGnU6qLbRvo7qEZo")
REQUEST = RefundRequest(
    refund_id=f"rfd_{'0' * 32}",
    idempotency_key=f"rfd_{'0' * 32}-g1",
    payment=PAYMENT,
    amount=Money(595, "EUR"),
    workspace_id="ws_1",
    ticket_id="tkt_1",
    order_id="1234",
)
PAID: dict[str, Any] = {
    "resource": "payment",
    "id": PAYMENT.id,
    "amount": {"currency": "EUR", "value": "149.00"},
    "status": "paid",
    "paidAt": "2026-01-15T09:13:37+00:00",
    "metadata": {"order_id": "1234"},
}
# The example of https://docs.mollie.com/reference/refunds-api-webhooks, with our metadata.
REFUND: dict[str, Any] = {
    "resource": "refund",
    "id": "re_4qqhO89gsT",
    "mode": "live",
    "amount": {"currency": "EUR", "value": "5.95"},
    "description": "Order #12345",
    "metadata": {
        "refund_id": REQUEST.refund_id,
        "idempotency_key": REQUEST.idempotency_key,
        "workspace_id": "ws_1",
        "ticket_id": "tkt_1",
    },
    "status": "canceled",
    "paymentId": PAYMENT.id,
    "createdAt": "2024-03-20T09:13:37+00:00",
}


def adapter_for(answer: Callable[[httpx.Request], httpx.Response]) -> MollieAdapter:
    client = httpx.Client(transport=httpx.MockTransport(answer))
    return MollieAdapter(KEY, webhook_secrets=SECRET, http_client=client)


def answering(status: int, content: Any) -> MollieAdapter:
    return adapter_for(lambda _: httpx.Response(status, json=content))


def kind_of(call: Callable[[], object]) -> ErrorKind:
    with pytest.raises(AdapterError) as caught:
        call()
    return caught.value.kind


def test_a_payment_says_what_is_left_and_which_order_it_is() -> None:
    part = {"amountRefunded": {"currency": "EUR", "value": "49.00"}}
    payment = answering(200, PAID | part).payment(PAYMENT)
    assert payment.remaining == Money(10000, "EUR")
    assert payment.order_id == "1234"
    assert payment.paid_at == datetime(2026, 1, 15, 9, 13, 37, tzinfo=UTC)
    assert not payment.disputed


def test_a_charged_back_payment_is_disputed() -> None:
    back = {"amountChargedBack": {"currency": "EUR", "value": "149.00"}}
    assert answering(200, PAID | back).payment(PAYMENT).disputed


@pytest.mark.parametrize("status", ["open", "authorized", "expired", "failed"])
def test_what_was_not_paid_is_not_refundable(status: str) -> None:
    adapter = answering(200, PAID | {"status": status})
    assert kind_of(lambda: adapter.payment(PAYMENT)) is ErrorKind.NOT_REFUNDABLE


@pytest.mark.parametrize(
    ("amount", "minor"),
    [({"currency": "JPY", "value": "14900"}, 14900), ({"currency": "USD", "value": "1.05"}, 105)],
)
def test_each_currency_has_mollies_decimals(amount: dict[str, str], minor: int) -> None:
    payment = answering(200, PAID | {"amount": amount}).payment(PAYMENT)
    assert payment.charged is not None
    assert payment.charged.minor == minor


def test_the_request_says_the_amount_as_mollie_writes_it_and_carries_our_ids() -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(201, json=REFUND | {"status": "pending"})

    assert adapter_for(answer).refund(REQUEST).status is RefundStatus.PENDING
    body = json.loads(sent[0].content)
    assert body["amount"] == {"currency": "EUR", "value": "5.95"}
    assert body["metadata"]["refund_id"] == REQUEST.refund_id
    assert sent[0].headers["idempotency-key"] == REQUEST.idempotency_key


@pytest.mark.parametrize(
    ("status", "content", "kind"),
    [
        (400, {"status": 400, "title": "An error"}, ErrorKind.KEY_CONFLICT),
        (401, {"status": 401, "title": "An error"}, ErrorKind.AUTH),
        (403, {"status": 403, "title": "An error"}, ErrorKind.AUTH),
        (404, {"status": 404, "title": "An error"}, ErrorKind.NOT_FOUND),
        (409, {"status": 409, "title": "An error"}, ErrorKind.IN_PROGRESS),
        (410, {"status": 410, "title": "An error"}, ErrorKind.NOT_REFUNDABLE),
        (422, {"status": 422, "title": "An error"}, ErrorKind.NOT_REFUNDABLE),
        (422, {"status": 422, "title": "An error", "field": "amount"}, ErrorKind.EXCEEDS_REMAINING),
        (422, {"status": 422, "title": "An error", "field": "amount.currency"}, ErrorKind.CONFIG),
        (422, {"status": 422, "title": "An error", "field": "something"}, ErrorKind.NOT_REFUNDABLE),
        (429, {}, ErrorKind.RATE_LIMITED),
        (500, {"status": 500}, ErrorKind.UNKNOWN_OUTCOME),
        (503, {"status": 503}, ErrorKind.UNKNOWN_OUTCOME),
        # A proxy's page, or its JSON: not Mollie's word.
        (404, None, ErrorKind.UNKNOWN_OUTCOME),
        (422, {"message": "response blocked by policy"}, ErrorKind.UNKNOWN_OUTCOME),
        (404, {"status": 500, "title": "An error"}, ErrorKind.UNKNOWN_OUTCOME),
        (201, {"resource": "refund"}, ErrorKind.UNKNOWN_OUTCOME),
        (201, REFUND | {"status": "new"}, ErrorKind.UNKNOWN_OUTCOME),
    ],
)
def test_each_answer_has_its_kind(status: int, content: Any, kind: ErrorKind) -> None:
    assert kind_of(lambda: answering(status, content).refund(REQUEST)) is kind


def test_what_mollie_writes_is_not_repeated() -> None:
    adapter = answering(
        422, {"status": 422, "title": "An error", "detail": "Jane Doe's account", "field": "amount"}
    )
    with pytest.raises(AdapterError) as caught:
        adapter.refund(REQUEST)
    assert "Jane" not in f"{caught.value}"


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": Money(0, "EUR")},
        {"payment": PaymentRef("payment_intent", "pi_1")},
        {"payment": replace(PAYMENT, account="org_1")},
        {"ticket_id": "t" * 1024},
        {"idempotency_key": "k" * 256},
    ],
)
def test_what_mollie_cannot_express_is_refused_before_it_is_sent(changes: dict[str, Any]) -> None:
    def never(_: httpx.Request) -> httpx.Response:
        raise AssertionError("it was sent")

    with pytest.raises(UnsupportedFeatureError):
        adapter_for(never).refund(replace(REQUEST, **changes))


def test_a_payments_id_never_leads_to_another_path() -> None:
    ref = PaymentRef("reference", "tr_1/../../v2/refunds")
    assert kind_of(lambda: answering(200, PAID).payment(ref)) is ErrorKind.NOT_FOUND


def page(*refunds: Any, after: str | None = None) -> dict[str, Any]:
    link = None if after is None else {"href": f"https://api.mollie.com/v2/refunds?from={after}"}
    return {"_embedded": {"refunds": list(refunds)}, "_links": {"next": link}}


def test_the_list_goes_on_where_a_page_ends_and_stops_at_what_is_too_old() -> None:
    asked: list[str | None] = []
    pages: dict[str | None, Any] = {
        None: page(REFUND, after="re_2"),
        "re_2": page(REFUND | {"id": "re_2", "createdAt": "2023-01-01T00:00:00+00:00"}, after="x"),
    }

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.params.get("from"))
        return httpx.Response(200, json=pages[asked[-1]])

    since = datetime(2024, 1, 1, tzinfo=UTC)
    listed = list(adapter_for(answer).refunds_between(since, None))
    assert [it.result.processor_id for it in listed if isinstance(it, KnownRefund)] == [
        "re_4qqhO89gsT"
    ]
    assert asked == [None, "re_2"]


def test_a_refund_that_cannot_be_read_is_named_and_hides_no_other() -> None:
    strange = REFUND | {"id": "re_9", "status": "sent_by_pigeon"}
    listed = answering(200, page(strange, "nothing", REFUND)).refunds_of(PAYMENT)
    assert [type(it) for it in listed] == [UnreadableRefund, UnreadableRefund, KnownRefund]
    assert isinstance(listed[0], UnreadableRefund)
    assert listed[0].processor_id == "re_9"


def test_pages_that_repeat_are_no_list() -> None:
    adapter = answering(200, page(REFUND, after="re_1"))
    assert kind_of(lambda: adapter.refunds_of(PAYMENT)) is ErrorKind.UNKNOWN_OUTCOME


def test_two_refunds_of_ours_are_for_a_person() -> None:
    paid = REFUND | {"status": "refunded"}
    adapter = answering(200, page(paid, paid | {"id": "re_2"}))
    assert kind_of(lambda: adapter.find(REQUEST)) is ErrorKind.KEY_CONFLICT


def test_an_unreadable_refund_may_be_ours() -> None:
    adapter = answering(200, page(REFUND | {"status": "new"}))
    assert kind_of(lambda: adapter.find(REQUEST)) is ErrorKind.UNREADABLE_REFUND


# Webhooks.


def delivery(content: Any, secret: str = SECRET) -> WebhookRequest:
    body = json.dumps(content).encode()
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return WebhookRequest("POST", "/", {"X-Mollie-Signature": f"sha256={signature}"}, body)


def event(kind: str = "refund.canceled") -> dict[str, Any]:
    return {
        "resource": "event",
        "id": "event_1",
        "type": kind,
        "entityId": REFUND["id"],
        "createdAt": "2024-03-20T09:13:38+00:00",
        "_embedded": {"entity": REFUND},
    }


@pytest.fixture
def adapter() -> Iterator[MollieAdapter]:
    with httpx.Client() as client:
        yield MollieAdapter(KEY, webhook_secrets=["old", SECRET], http_client=client)


@pytest.mark.parametrize("content", [event(), REFUND])
def test_a_signed_delivery_names_its_refund(adapter: MollieAdapter, content: Any) -> None:
    request = delivery(content)
    (head,) = adapter.verify_webhook(request)
    assert (head.type, head.ticket_id, head.hint_of) == ("refund.canceled", "tkt_1", None)
    update = adapter.parse_event(request.body)
    assert update is not None
    assert update.payments == (PAYMENT,)
    assert update.refunds[0].refund_id == REQUEST.refund_id


def test_the_same_snapshot_again_is_the_same_event(adapter: MollieAdapter) -> None:
    first, again = (adapter.verify_webhook(delivery(REFUND))[0] for _ in range(2))
    changed = adapter.verify_webhook(delivery(REFUND | {"status": "failed"}))[0]
    assert first.event_id == again.event_id != changed.event_id


def test_an_event_about_something_else_says_nothing(adapter: MollieAdapter) -> None:
    assert adapter.parse_event(json.dumps(event("payment-link.paid")).encode()) is None


@pytest.mark.parametrize("header", ["", "sha256=", "sha256=00", "\xe9"])
def test_a_wrong_signature_is_refused(adapter: MollieAdapter, header: str) -> None:
    request = replace(delivery(event()), headers={"x-mollie-signature": header})
    with pytest.raises(SignatureError):
        adapter.verify_webhook(request)


def test_without_a_secret_nothing_signed_is_accepted() -> None:
    with pytest.raises(SignatureError, match="MOLLIE_WEBHOOK_SECRET"):
        MollieAdapter(KEY).verify_webhook(delivery(event()))


@pytest.mark.parametrize("more", ["", "&x=1", '&pad={"resource":"event","type":"refund.failed"}'])
def test_an_unsigned_delivery_is_only_a_reason_to_ask(adapter: MollieAdapter, more: str) -> None:
    request = WebhookRequest("POST", "/", {}, f"id={PAYMENT.id}{more}".encode())
    (head,) = adapter.verify_webhook(request)
    assert head.hint_of == PAYMENT.id
    assert head.body == f"id={PAYMENT.id}".encode(), "nothing else of it is kept"
    update = adapter.parse_event(head.body)
    assert update is not None
    assert (update.payments, update.refunds) == ((PAYMENT,), ())


@pytest.mark.parametrize(
    "body", [b"", b"id=", b"id=re_1", b"id=tr_1/x", b"\xff", b"{}", b"a=b&a=b&a=b&a=b&a=b"]
)
def test_what_is_neither_signed_nor_a_payments_id_is_refused(
    adapter: MollieAdapter, body: bytes
) -> None:
    with pytest.raises(SignatureError):
        adapter.verify_webhook(WebhookRequest("POST", "/", {}, body))


@pytest.mark.parametrize(
    "content",
    [[], {}, {"resource": "event"}, event() | {"type": 5}, event() | {"createdAt": "yesterday"}],
)
def test_a_signed_event_that_cannot_be_read_is_kept(adapter: MollieAdapter, content: Any) -> None:
    with pytest.raises(EventError):
        adapter.verify_webhook(delivery(content))


# Settings.


@pytest.mark.parametrize("key", ["", "sk_test_1", "live_short", "test_ with a blank in it 123456"])
def test_a_key_of_another_form_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        MollieAdapter(key)
    assert not key or key not in f"{caught.value}"


def test_the_key_says_the_mode() -> None:
    live = MollieAdapter(f"live_{'a' * 30}")
    assert (live.mode, MollieAdapter(KEY).mode) == ("live", "test")
    assert MollieAdapter(KEY, base_url="http://127.0.0.1:1/processors/mollie").mode == "sandbox"


def test_check_says_that_only_unsigned_deliveries_are_taken() -> None:
    client = httpx.Client(transport=httpx.MockTransport(lambda _: httpx.Response(200, json={})))
    assert "MOLLIE_WEBHOOK_SECRET" in MollieAdapter(KEY, http_client=client).check()
