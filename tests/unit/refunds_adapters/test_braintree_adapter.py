"""What `BraintreeAdapter` asks, and what it makes of Braintree's answers and webhooks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlencode

import httpx
import pytest
import respx
from graphql import GraphQLEnumType

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import (
    AdapterError,
    ConfigurationError,
    ErrorKind,
    EventError,
    SignatureError,
)
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef, RefundRequest, RefundStatus
from dispatch_returns.refunds.adapters.braintree import BraintreeAdapter
from dispatch_returns.refunds.adapters.braintree.objects import names_of, result_of
from dispatch_returns.refunds.adapters.braintree.rejections import BY_CODE
from dispatch_returns.refunds.registry import build_adapter
from dispatch_sandbox.braintree import MERCHANT_ID, PRIVATE_KEY, PUBLIC_KEY, BraintreeStandIn
from dispatch_sandbox.processors.base import OutgoingEvent
from tests.support.braintree_sandbox import SCHEMA, DescribedBraintree, serving_braintree

REQUEST = RefundRequest(
    refund_id=f"rfd_{'0' * 32}",
    idempotency_key=f"rfd_{'0' * 32}-g1",
    payment=PaymentRef("reference", "abc"),
    amount=Money(4900, "USD"),
    workspace_id="ws_1",
    ticket_id="tkt_1",
)
WHOLE = Money(14900, "USD")
WEBHOOK = "http://127.0.0.1:1/webhooks/braintree"
KINDS = {
    "91505": ErrorKind.NOT_REFUNDABLE,
    "91506": ErrorKind.NOT_SETTLED,
    "91512": ErrorKind.ALREADY_REFUNDED,
    "91521": ErrorKind.EXCEEDS_REMAINING,
    "91538": ErrorKind.CONFIG,
    "91547": ErrorKind.CONFIG,
    "91559": ErrorKind.CONFIG,
    "91574": ErrorKind.NOT_SETTLED,
    "915200": ErrorKind.NOT_REFUNDABLE,
    "915201": ErrorKind.NOT_REFUNDABLE,
    "99999": ErrorKind.CONFIG,
}


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[BraintreeStandIn, str]]:
    with serving_braintree() as (stand_in, url):
        stand_in.listen(WEBHOOK)
        yield stand_in, url


@pytest.fixture
def braintree(served: tuple[BraintreeStandIn, str]) -> BraintreeStandIn:
    served[0].faults.clear()
    served[0].outgoing()
    served[0].log.clear()
    return served[0]


@pytest.fixture
def adapter(served: tuple[BraintreeStandIn, str]) -> Iterator[BraintreeAdapter]:
    adapter = BraintreeAdapter(MERCHANT_ID, PUBLIC_KEY, PRIVATE_KEY, base_url=served[1])
    yield adapter
    adapter.close()


def of(payment: str, **changes: Any) -> RefundRequest:
    return replace(REQUEST, payment=PaymentRef("reference", payment), **changes)


def error_of(adapter: BraintreeAdapter, request: RefundRequest) -> AdapterError:
    with pytest.raises(AdapterError) as caught:
        adapter.refund(request)
    return caught.value


# What is asked.


def test_a_refund_carries_our_reference_and_a_decimal_amount(
    braintree: BraintreeStandIn, adapter: BraintreeAdapter
) -> None:
    made = adapter.refund(of(braintree.pay("149.00")))
    assert (made.status, made.ours) == (RefundStatus.PENDING, True)
    sent = json.loads(braintree.log[-1].body)["variables"]["input"]
    assert sent["refund"] == {
        "amount": "49.00",
        "orderId": f"{REQUEST.idempotency_key}.ws_1.tkt_1",
    }


def test_either_id_names_the_transaction_and_the_ledger_keeps_graphqls(
    braintree: BraintreeStandIn, adapter: BraintreeAdapter
) -> None:
    shown = braintree.pay("149.00")
    payment = adapter.payment(PaymentRef("reference", shown))
    assert payment.ref is not None
    assert payment.names == {shown, payment.ref.id}
    assert payment.ref == names_of(shown)[0]
    assert adapter.payment(payment.ref) == payment
    assert all(adapter.recognizes(it) for it in payment.names)
    assert not any(adapter.recognizes(it) for it in ("pi_1", "tr_1", "QFQTPCQ8HXSKGK82"))


def test_the_whole_of_an_unsettled_transaction_is_voided(
    braintree: BraintreeStandIn, adapter: BraintreeAdapter
) -> None:
    payment = braintree.pay("149.00", status="SUBMITTED_FOR_SETTLEMENT")
    request = of(payment, amount=WHOLE)
    made = adapter.refund(request)
    assert (made.status, made.amount) == (RefundStatus.VOIDED, WHOLE)
    assert braintree.transactions[payment].status == "VOIDED"
    assert adapter.find(request) == made
    assert adapter.refund(request) == made
    with pytest.raises(AdapterError, match="Nothing was taken"):
        adapter.payment(request.payment)


def test_after_a_lost_answer_the_void_is_found(
    braintree: BraintreeStandIn, adapter: BraintreeAdapter
) -> None:
    payment = braintree.pay("149.00", status="AUTHORIZED")
    braintree.fail("lost_response", payment=payment)
    request = of(payment, amount=WHOLE)
    assert error_of(adapter, request).kind is ErrorKind.UNKNOWN_OUTCOME
    found = adapter.find(request)
    assert found is not None
    assert found.status is RefundStatus.VOIDED


def test_a_part_of_an_unsettled_transaction_waits(
    braintree: BraintreeStandIn, adapter: BraintreeAdapter
) -> None:
    payment = braintree.pay("149.00", status="SUBMITTED_FOR_SETTLEMENT")
    assert error_of(adapter, of(payment)).kind is ErrorKind.NOT_SETTLED
    assert braintree.transactions[payment].status == "SUBMITTED_FOR_SETTLEMENT"


def test_a_transaction_that_settles_before_its_void_is_refunded_as_a_whole(
    braintree: BraintreeStandIn, adapter: BraintreeAdapter
) -> None:
    """`reverseTransaction` does whichever fits, and its refund carries no reference of ours."""
    payment = braintree.pay("149.00", status="SUBMITTED_FOR_SETTLEMENT")
    answer = braintree.answer

    def settles(request: Any) -> Any:
        if b"reverseTransaction" in request.body:
            braintree.transactions[payment].status = "SETTLED"
        return answer(request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(braintree, "answer", settles)
        made = adapter.refund(of(payment, amount=WHOLE))
    assert (made.status, made.ours, made.amount) == (RefundStatus.PENDING, False, WHOLE)
    assert braintree.refunded(payment) == 14900


def test_our_refund_is_followed_until_it_is_settled_or_has_failed(
    braintree: BraintreeStandIn, adapter: BraintreeAdapter
) -> None:
    good, bad = braintree.pay("149.00"), braintree.pay("149.00")
    braintree.fail("fail_later", payment=bad, seconds=3600)
    for payment in (good, bad):
        adapter.refund(of(payment))
    braintree.advance(2 * 24 * 3600)
    found = [adapter.find(of(payment)) for payment in (good, bad)]
    assert [it and it.status for it in found] == [RefundStatus.SUCCEEDED, RefundStatus.FAILED]


# What an answer means.


def test_every_status_that_braintree_describes_means_something() -> None:
    described = SCHEMA.get_type("PaymentStatus")
    assert isinstance(described, GraphQLEnumType)
    amount = {"value": "1.00", "currencyCode": "USD"}
    for status in described.values:
        refund = {"id": "cmVmdW5kX2E", "status": status, "amount": amount, "orderId": None}
        assert result_of(refund).amount == Money(100, "USD")


@pytest.mark.parametrize(("code", "kind"), KINDS.items())
def test_each_refusal_means_what_it_says_and_says_what_to_do(
    braintree: BraintreeStandIn, adapter: BraintreeAdapter, code: str, kind: ErrorKind
) -> None:
    payment = braintree.pay("149.00")
    braintree.fail("refused", payment=payment, code=code)
    error = error_of(adapter, of(payment))
    assert (error.kind, error.code) == (kind, code)
    assert error.request_id, "support finds it by this"
    assert set(KINDS) >= set(BY_CODE)


@pytest.mark.parametrize("acted", [True, False])
def test_an_internal_error_is_an_unknown_outcome_and_the_look_up_tells(
    braintree: BraintreeStandIn, adapter: BraintreeAdapter, acted: bool
) -> None:
    payment = braintree.pay("149.00")
    braintree.fail("server_error", payment=payment, acted=acted)
    assert error_of(adapter, of(payment)).kind is ErrorKind.UNKNOWN_OUTCOME
    assert (adapter.find(of(payment)) is not None) is acted


def test_a_rate_limit_is_no_refusal(braintree: BraintreeStandIn, adapter: BraintreeAdapter) -> None:
    payment = braintree.pay("149.00")
    braintree.fail("rate_limit", payment=payment)
    assert error_of(adapter, of(payment)).kind is ErrorKind.RATE_LIMITED


@pytest.mark.parametrize(
    "body",
    [
        *({}, {"data": None}, {"data": []}, {"errors": []}, {"errors": [{"message": "x"}]}),
        {"errors": [{"extensions": {"errorClass": "INTERNAL"}}], "data": {"ping": "pong"}},
    ],
)
def test_an_answer_that_is_not_understood_is_an_unknown_outcome(body: dict[str, Any]) -> None:
    adapter = BraintreeAdapter(MERCHANT_ID, PUBLIC_KEY, PRIVATE_KEY)
    with respx.mock:
        respx.post("https://payments.braintree-api.com/graphql").respond(json=body)
        with pytest.raises(AdapterError) as caught:
            adapter.check()
    assert caught.value.kind is ErrorKind.UNKNOWN_OUTCOME
    adapter.close()


def test_a_refund_that_cannot_be_read_is_named_and_nothing_is_paid(
    braintree: BraintreeStandIn, adapter: BraintreeAdapter
) -> None:
    payment = braintree.pay("149.00")
    braintree.refund_externally(payment, "10.00")
    braintree.transactions[payment].refunds[0].status = "A_NEW_STATUS"
    assert error_of(adapter, of(payment)).kind is ErrorKind.UNREADABLE_REFUND
    assert isinstance(braintree, DescribedBraintree)
    braintree.strayed.clear()  # the schema has no such status, which is the point


def test_doctor_asks_for_nothing_but_an_answer(
    braintree: BraintreeStandIn, adapter: BraintreeAdapter
) -> None:
    assert "lets the keys in (sandbox mode)" in adapter.check()
    assert adapter.account() == MERCHANT_ID
    assert "ping" in json.loads(braintree.log[-1].body)["query"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"private_key": ""}, "BRAINTREE_PRIVATE_KEY: is not set"),
        ({"public_key": "a b"}, "BRAINTREE_PUBLIC_KEY"),
        ({"base_url": "http://example.com"}, "BRAINTREE_BASE_URL"),
    ],
)
def test_a_wrong_option_is_named_and_never_shown(changed: dict[str, str], said: str) -> None:
    options = {"merchant_id": MERCHANT_ID, "public_key": PUBLIC_KEY, "private_key": PRIVATE_KEY}
    with pytest.raises(ConfigurationError, match=said) as caught:
        build_adapter("braintree", options | changed)
    assert PRIVATE_KEY not in str(caught.value)


# Webhooks.


def request_of(event: OutgoingEvent) -> WebhookRequest:
    return WebhookRequest("POST", "/webhooks/braintree", event.headers, event.body)


def failed_refund(braintree: BraintreeStandIn, adapter: BraintreeAdapter) -> OutgoingEvent:
    payment = braintree.pay("149.00")
    braintree.fail("fail_later", payment=payment, seconds=60)
    adapter.refund(of(payment))
    braintree.advance(60)
    (event,) = braintree.outgoing()
    return event


def test_a_signed_event_names_the_transaction_to_ask_about(
    braintree: BraintreeStandIn, adapter: BraintreeAdapter
) -> None:
    event = failed_refund(braintree, adapter)
    (head,) = adapter.verify_webhook(request_of(event))
    assert head.type == "refund_failed"
    assert head.body is not None
    update = adapter.parse_event(head.body)
    assert update is not None
    assert update.refunds == ()
    (known,) = adapter.refunds_of(update.payments[0])
    assert known.result.status is RefundStatus.FAILED  # type: ignore[union-attr]
    assert known.payments == update.payments  # type: ignore[union-attr]


@pytest.mark.parametrize("field", ["bt_payload", "bt_signature"])
def test_a_changed_event_is_refused(
    braintree: BraintreeStandIn, adapter: BraintreeAdapter, field: str
) -> None:
    form = {
        name: it[0]
        for name, it in parse_qs(failed_refund(braintree, adapter).body.decode()).items()
    }
    changed = {
        "bt_payload": "QUFB" + form["bt_payload"],
        "bt_signature": f"{PUBLIC_KEY}|{'0' * 40}",
    }
    body = urlencode(form | {field: changed[field]}).encode()
    with pytest.raises(SignatureError):
        adapter.verify_webhook(WebhookRequest("POST", "/", {}, body))


def test_the_signature_of_another_key_is_refused(
    braintree: BraintreeStandIn, adapter: BraintreeAdapter
) -> None:
    event = failed_refund(braintree, adapter)
    for keys in ((PUBLIC_KEY, "another"), ("another", PRIVATE_KEY)):
        other = BraintreeAdapter(MERCHANT_ID, *keys)
        with pytest.raises(SignatureError):
            other.verify_webhook(request_of(event))
        other.close()


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"bt_payload=x", b"\xff", b"bt_signature=&bt_payload="]
)
def test_whatever_is_no_event_is_refused(adapter: BraintreeAdapter, body: bytes) -> None:
    with pytest.raises(SignatureError):
        adapter.verify_webhook(WebhookRequest("POST", "/", {}, body))


def test_the_challenge_is_answered_as_braintrees_own_libraries_do() -> None:
    """The example in the tests of Braintree's libraries (`WebhookNotification.verify`)."""
    adapter = BraintreeAdapter(MERCHANT_ID, "integration_public_key", "integration_private_key")
    query = "bt_challenge=20f9f8ed05f77439fe955c977e4c8a53"
    said = adapter.answer_challenge(WebhookRequest("GET", "/", {}, b"", query))
    assert said == b"integration_public_key|d9b899556c966b3f06945ec21311865d35df3ce4"
    adapter.close()


@pytest.mark.parametrize("query", ["", "bt_challenge=", "bt_challenge=<script>", "other=1"])
def test_no_other_text_is_signed(adapter: BraintreeAdapter, query: str) -> None:
    """A signed text of someone's choice would be a forged event."""
    with pytest.raises(SignatureError):
        adapter.answer_challenge(WebhookRequest("GET", "/", {}, b"", query))


def test_a_payload_that_is_not_xml_is_an_event_error(adapter: BraintreeAdapter) -> None:
    with pytest.raises(EventError):
        adapter.parse_event(b"QUFB")


def test_nothing_is_sent_where_nothing_listens() -> None:
    adapter = BraintreeAdapter(MERCHANT_ID, PUBLIC_KEY, PRIVATE_KEY)
    with respx.mock:
        respx.post("https://payments.braintree-api.com/graphql").mock(
            side_effect=httpx.ConnectError("no")
        )
        assert error_of(adapter, REQUEST).kind is ErrorKind.NOT_SENT
    adapter.close()
