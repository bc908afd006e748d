"""Adyen's notifications: what is authentic, and what it says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import EventError, SignatureError
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import KnownRefund, PaymentRef, RefundStatus
from dispatch_returns.refunds.adapters.adyen import AdyenAdapter
from dispatch_sandbox.adyen import API_KEY, HMAC_KEY, MERCHANT_ACCOUNT, notification

KEY = f"rfd_{'0' * 32}-g1"
OTHER_KEY = "A5" * 32


def item(**changes: Any) -> dict[str, Any]:
    """A refund of ours that Adyen has validated."""
    return {
        "additionalData": {},
        "amount": {"currency": "EUR", "value": 4900},
        "eventCode": "REFUND",
        "eventDate": "2026-11-29T12:00:00+01:00",
        "merchantAccountCode": MERCHANT_ACCOUNT,
        "merchantReference": f"{KEY}.ws_1.tkt_1",
        "originalReference": "QFQTPCQ8HXSKGK82",
        "paymentMethod": "visa",
        "pspReference": "BG2VC6L3PXXCGK82",
        "reason": "",
        "success": "true",
    } | changes


def posted(decoded: Any) -> WebhookRequest:
    return WebhookRequest("POST", "/webhooks/adyen", {}, json.dumps(decoded).encode())


def signed(*items: dict[str, Any], key: str = HMAC_KEY) -> WebhookRequest:
    return posted(notification(items, key))


@pytest.fixture
def adapter() -> Iterator[AdyenAdapter]:
    adapter = AdyenAdapter(API_KEY, MERCHANT_ACCOUNT, [HMAC_KEY])
    yield adapter
    adapter.close()


def said_by(adapter: AdyenAdapter, **changes: Any) -> KnownRefund | None:
    (head,) = adapter.verify_webhook(signed(item(**changes)))
    assert head.body is not None
    update = adapter.parse_event(head.body)
    if update is None:
        return None
    assert update.payments == (PaymentRef("reference", "QFQTPCQ8HXSKGK82"),)
    (known,) = update.refunds
    return known


# What is authentic.


def test_the_signature_that_adyen_publishes_is_right() -> None:
    """The example in Adyen's own libraries (adyen-python-api-library, tests of the HMAC)."""
    key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
    published = {
        "pspReference": "7914073381342284",
        "merchantAccountCode": "TestMerchant",
        "merchantReference": "TestPayment-1407325143704",
        "amount": {"value": 1130, "currency": "EUR"},
        "eventCode": "AUTHORISATION",
        "success": "true",
        "eventDate": "2014-08-06T15:15:34.000Z",
        "additionalData": {"hmacSignature": "coqCmt/IZ4E3CzPvMY8zTjQVL5hYJUiBRg8UU+iCWo0="},
    }
    adapter = AdyenAdapter(API_KEY, "TestMerchant", [key])
    (head,) = adapter.verify_webhook(
        posted({"live": "false", "notificationItems": [{"NotificationRequestItem": published}]})
    )
    assert head.event_id == "7914073381342284-AUTHORISATION-true"
    assert adapter.parse_event(head.body or b"") is None, "it is no refund"
    adapter.close()


def test_every_item_of_a_notification_is_an_event(adapter: AdyenAdapter) -> None:
    heads = adapter.verify_webhook(
        signed(item(), item(pspReference="X6NNSZGR2NQ8WN82", eventCode="CAPTURE"))
    )
    assert [it.type for it in heads] == ["REFUND", "CAPTURE"]
    assert [it.event_id for it in heads] == [
        "BG2VC6L3PXXCGK82-REFUND-true",
        "X6NNSZGR2NQ8WN82-CAPTURE-true",
    ]
    assert heads[0].ticket_id == "tkt_1"
    assert heads[0].occurred_at is not None
    assert heads[0].occurred_at.hour == 11


@pytest.mark.parametrize("forged", range(3))
def test_one_forged_item_refuses_the_whole_notification(adapter: AdyenAdapter, forged: int) -> None:
    decoded = notification([item(pspReference=f"PSP{it}") for it in range(3)])
    decoded["notificationItems"][forged]["NotificationRequestItem"]["amount"]["value"] = 999_900
    with pytest.raises(SignatureError):
        adapter.verify_webhook(posted(decoded))


@pytest.mark.parametrize(
    "field",
    ["pspReference", "originalReference", "merchantAccountCode", "merchantReference", "success"],
)
def test_each_signed_field_counts(adapter: AdyenAdapter, field: str) -> None:
    decoded = notification([item()])
    decoded["notificationItems"][0]["NotificationRequestItem"][field] = "another"
    with pytest.raises(SignatureError):
        adapter.verify_webhook(posted(decoded))


@pytest.mark.parametrize(
    "decoded",
    [
        *({}, [], None, {"notificationItems": []}, {"notificationItems": "x"}),
        *({"notificationItems": [None]}, {"notificationItems": [{"NotificationRequestItem": 1}]}),
        {"notificationItems": [{"NotificationRequestItem": item()}]},
        {"notificationItems": [{"NotificationRequestItem": item(additionalData=None)}]},
        {
            "notificationItems": [
                {"NotificationRequestItem": item(additionalData={"hmacSignature": "é"})}
            ]
        },
    ],
)
def test_whatever_is_not_signed_is_refused(adapter: AdyenAdapter, decoded: Any) -> None:
    with pytest.raises(SignatureError):
        adapter.verify_webhook(posted(decoded))


def test_another_key_is_refused_and_an_old_one_counts_while_it_is_rotated(
    adapter: AdyenAdapter,
) -> None:
    with pytest.raises(SignatureError, match="ADYEN_HMAC_KEY"):
        adapter.verify_webhook(signed(item(), key=OTHER_KEY))
    rotated = AdyenAdapter(API_KEY, MERCHANT_ACCOUNT, [HMAC_KEY, OTHER_KEY])
    assert rotated.verify_webhook(signed(item(), key=OTHER_KEY))
    rotated.close()


def test_a_date_that_is_not_signed_makes_no_new_event(adapter: AdyenAdapter) -> None:
    """A replay with another date has the id of the first, and the inbox knows it."""
    (first,) = adapter.verify_webhook(signed(item()))
    (again,) = adapter.verify_webhook(signed(item(eventDate="2027-01-01T00:00:00Z", reason="x")))
    assert again.event_id == first.event_id


def test_an_authentic_item_without_an_id_is_not_understood(adapter: AdyenAdapter) -> None:
    with pytest.raises(EventError):
        adapter.verify_webhook(signed(item(pspReference="")))


# What it says.


@pytest.mark.parametrize(
    ("code", "success", "status"),
    [
        ("REFUND", "true", RefundStatus.SUCCEEDED),
        ("REFUND", "false", RefundStatus.FAILED),
        ("REFUND_FAILED", "true", RefundStatus.FAILED),
        ("REFUNDED_REVERSED", "true", RefundStatus.FAILED),
        ("POSTPONED_REFUND", "true", RefundStatus.PENDING),
        ("POSTPONED_REFUND", "false", RefundStatus.FAILED),
    ],
)
def test_what_each_event_says(
    adapter: AdyenAdapter, code: str, success: str, status: RefundStatus
) -> None:
    known = said_by(adapter, eventCode=code, success=success)
    assert known is not None
    assert known.result.status is status
    assert (known.result.processor_id, known.result.ours) == ("BG2VC6L3PXXCGK82", True)
    assert known.result.amount == Money(4900, "EUR")
    assert (known.refund_id, known.idempotency_key) == (f"rfd_{'0' * 32}", KEY)
    assert (known.workspace_id, known.ticket_id) == ("ws_1", "tkt_1")


@pytest.mark.parametrize("code", ["AUTHORISATION", "CAPTURE", "CHARGEBACK", "CANCELLATION"])
def test_other_events_say_nothing_about_refunds(adapter: AdyenAdapter, code: str) -> None:
    assert said_by(adapter, eventCode=code) is None


def test_an_event_of_another_merchant_account_is_left_alone(adapter: AdyenAdapter) -> None:
    theirs = {"merchantAccountCode": "AcmePOS", "merchantReference": "order-1234"}
    assert said_by(adapter, **theirs) is None


def test_a_refund_of_ours_at_another_merchant_account_is_kept_and_said(
    adapter: AdyenAdapter,
) -> None:
    with pytest.raises(EventError, match="URL of its own adapter"):
        said_by(adapter, merchantAccountCode="AcmePOS")


def test_a_refund_made_in_the_customer_area_is_external(adapter: AdyenAdapter) -> None:
    known = said_by(adapter, merchantReference="order-1234")
    assert known is not None
    assert (known.refund_id, known.result.ours) == (None, False)


def test_a_reversal_counts_as_a_refund_unless_it_was_a_cancel(adapter: AdyenAdapter) -> None:
    reversal: dict[str, Any] = {"eventCode": "CANCEL_OR_REFUND", "merchantReference": "order-1"}
    known = said_by(adapter, **reversal, additionalData={"modification.action": "refund"})
    assert known is not None
    assert known.result.status is RefundStatus.SUCCEEDED
    assert said_by(adapter, **reversal, additionalData={"modification.action": "cancel"}) is None
    assert said_by(adapter, **reversal, success="false") is None


def test_adyens_own_minor_units_are_read(adapter: AdyenAdapter) -> None:
    known = said_by(adapter, amount={"currency": "IDR", "value": 150_000})
    assert known is not None
    assert str(known.result.amount) == "150000 IDR"


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("Insufficient balance on payment", "less is left"),
        ("Transaction hasn't been captured, refund not possible", "capture it"),
        ("Refused by the issuer", ""),
    ],
)
def test_a_failure_says_why_and_what_to_do(adapter: AdyenAdapter, reason: str, remedy: str) -> None:
    known = said_by(adapter, success="false", reason=reason)
    assert known is not None
    assert known.result.failure_reason is not None
    assert known.result.failure_reason.startswith(reason)
    assert remedy in known.result.failure_reason


def test_a_reason_that_cannot_be_printed_is_left_out(adapter: AdyenAdapter) -> None:
    known = said_by(adapter, success="false", reason="\x1b[31m")
    assert known is not None
    assert known.result.failure_reason is None


@pytest.mark.parametrize(
    "changes",
    [
        {"amount": {"currency": "EUR", "value": "49.00"}},
        {"amount": {"currency": "EURO", "value": 1}},
        {"amount": {"currency": "EUR", "value": -1}},
        {"originalReference": None},
        {"eventDate": "yesterday"},
    ],
)
def test_a_refund_that_cannot_be_read_is_an_event_error(
    adapter: AdyenAdapter, changes: dict[str, Any]
) -> None:
    with pytest.raises(EventError):
        said_by(adapter, **changes)
