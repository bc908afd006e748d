"""Stripe's webhooks: what is authentic, and what it says of a refund."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import EventError, InvalidArgumentError, SignatureError
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import KnownRefund, PaymentRef, RefundStatus, RefundUpdate
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_returns.refunds.adapters.stripe.events import (
    EVENTS,
    read_head,
    refund_update,
    verify,
)

NOW = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)
OLD_SECRET, NEW_SECRET = "whsec_old", "whsec_new"
REFUND: dict[str, Any] = {
    "id": "re_1",
    "object": "refund",
    "amount": 14900,
    "currency": "usd",
    "status": "failed",
    "failure_reason": "expired_or_canceled_card",
    "metadata": {"dispatch_refund_id": "rfd_1", "dispatch_ticket_id": "tkt_1"},
    "payment_intent": "pi_1",
    "charge": "ch_1",
    "created": 1,
}


def an_event(kind: str, **data: Any) -> bytes:
    event = {"id": "evt_1", "type": kind, "created": 1, "data": {"object": data}}
    return json.dumps(event).encode()


def told(body: bytes) -> KnownRefund:
    """The one refund that an event shows."""
    news = refund_update(body)
    assert news is not None
    (refund,) = news.refunds
    return refund


def signature(body: bytes, *, at: datetime = NOW, secret: str = NEW_SECRET) -> str:
    return signed_at(str(int(at.timestamp())), body, secret)


def signed_at(timestamp: str, body: bytes = b"{}", secret: str = NEW_SECRET) -> str:
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"t={timestamp},v1={digest.hexdigest()}"


@pytest.fixture
def adapter() -> Iterator[StripeAdapter]:
    adapter = StripeAdapter(
        "sk_test_1", webhook_secrets=[OLD_SECRET, NEW_SECRET], clock=lambda: NOW
    )
    yield adapter
    adapter.close()


PAYMENTS = (PaymentRef("payment_intent", "pi_1"), PaymentRef("charge", "ch_1"))
BODY = an_event("refund.updated", **REFUND)


@pytest.mark.parametrize("secret", [OLD_SECRET, NEW_SECRET])
@pytest.mark.parametrize("name", ["Stripe-Signature", "stripe-signature", "STRIPE-SIGNATURE"])
def test_an_authentic_event_is_read(adapter: StripeAdapter, secret: str, name: str) -> None:
    headers = {"Host": "x", name: signature(BODY, secret=secret)}
    (head,) = adapter.verify_webhook(WebhookRequest("POST", "/", headers, BODY))
    assert (head.event_id, head.type, head.ticket_id) == ("evt_1", "refund.updated", "tkt_1")
    assert head.occurred_at == datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)
    news = adapter.parse_event(BODY)
    assert news is not None
    assert news.payments == PAYMENTS
    (refund,) = news.refunds
    assert (refund.refund_id, refund.payments) == ("rfd_1", PAYMENTS)
    assert refund.result.status is RefundStatus.FAILED
    assert refund.result.amount == Money(14900, "USD")
    assert refund.result.failure_reason == "expired_or_canceled_card"
    assert refund.result.ours


@pytest.mark.parametrize("minutes", [-5, 0, 5])
def test_five_minutes_off_is_accepted_in_both_directions(minutes: int) -> None:
    header = signature(BODY, at=NOW + timedelta(minutes=minutes))
    verify(BODY, header, [NEW_SECRET], NOW)


@pytest.mark.parametrize("seconds", [-301, 301])
def test_more_than_that_is_refused_in_both_directions(seconds: int) -> None:
    header = signature(BODY, at=NOW + timedelta(seconds=seconds))
    with pytest.raises(SignatureError, match="too old, or from the future"):
        verify(BODY, header, [NEW_SECRET], NOW)


def test_one_of_several_signatures_is_enough() -> None:
    timestamp, good = signature(BODY).split(",")
    verify(BODY, f"{timestamp}, v0=1,v1=00, {good} ,v1=", [NEW_SECRET], NOW)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "t=1748779200",
        "v1=00",
        "t=,v1=00",
        "t=x,v1=00",
        "t=١٢٣,v1=00",  # digits for int(), and never Stripe's
        "t=-1,v1=00",
        "t=1e9,v1=00",
        "t=9999999999999999999999,v1=00",
        "t=1748779200,t=1748779200,v1=00",
        "t=1748779200,v1=ü",
        "t=1748779200,v1=\ud800",
        "t=1748779200;v1=00",
        signature(BODY, secret="whsec_other"),
        signature(BODY + b" "),
        signature(BODY).replace("v1=", "v0="),
        signature(BODY).upper(),
    ],
)
def test_anything_that_is_not_signed_is_refused(header: str | None) -> None:
    with pytest.raises(SignatureError):
        verify(BODY, header, [NEW_SECRET], NOW)


@pytest.mark.parametrize("timestamp", ["", "now", "-1", "1.5", "\u0660", "²", "9" * 13, "9" * 5000])
def test_a_signed_time_that_is_none_is_refused(timestamp: str) -> None:
    with pytest.raises(SignatureError, match="malformed"):
        verify(b"{}", signed_at(timestamp), [NEW_SECRET], NOW)


def test_two_times_are_one_too_many() -> None:
    with pytest.raises(SignatureError, match="malformed"):
        verify(BODY, f"{signature(BODY)},t=1", [NEW_SECRET], NOW)


def test_without_a_secret_everything_is_refused() -> None:
    adapter = StripeAdapter("sk_test_1", clock=lambda: NOW)
    headers = {"Stripe-Signature": signature(BODY, secret="")}
    with pytest.raises(SignatureError, match="no Stripe webhook secret"):
        adapter.verify_webhook(WebhookRequest("POST", "/", headers, BODY))
    adapter.close()


@pytest.mark.parametrize("secrets", ["", ["whsec_1", ""]])
def test_an_empty_secret_is_refused(secrets: str | list[str]) -> None:
    with pytest.raises(InvalidArgumentError, match="webhook_secrets"):
        StripeAdapter("sk_test_1", webhook_secrets=secrets)


@given(header=st.text(), body=st.binary())
def test_no_header_makes_another_error(header: str, body: bytes) -> None:
    with pytest.raises(SignatureError):
        verify(body, header, [NEW_SECRET], NOW)


@given(
    timestamp=st.text(st.characters(codec="utf-8")),
    signatures=st.lists(st.text(st.characters(codec="utf-8"))),
)
def test_no_parts_of_a_header_make_another_error(timestamp: str, signatures: list[str]) -> None:
    header = ",".join([f"t={timestamp}", *(f"v1={s}" for s in signatures)])
    with pytest.raises(SignatureError):
        verify(b"{}", header, [NEW_SECRET], NOW)


def test_no_message_shows_a_secret_or_the_signature() -> None:
    header = signature(BODY, secret="whsec_other")
    with pytest.raises(SignatureError) as caught:
        verify(BODY, header, [NEW_SECRET], NOW)
    assert NEW_SECRET not in str(caught.value)
    assert header.rpartition("=")[2] not in str(caught.value)


@pytest.mark.parametrize(
    "kind", ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"]
)
def test_these_events_have_a_refund_as_their_object(kind: str) -> None:
    assert kind in EVENTS
    assert told(an_event(kind, **REFUND)).result.processor_id == "re_1"


@pytest.mark.parametrize(
    "refunds",
    [
        {},
        {"refunds": None},
        {"refunds": {"data": []}},
        {"refunds": {"data": [REFUND]}},
        {"refunds": [{"object": "refund", "amount": 400}]},
        {"refunds": {"data": [{"object": "refund", "id": "re_1"}]}},
        {"refunds": {"data": [REFUND | {"status": None}]}},
    ],
)
def test_a_refunded_charge_is_named_whatever_its_version_says_of_its_refunds(
    refunds: dict[str, Any],
) -> None:
    charge = {"object": "charge", "id": "ch_1", "payment_intent": "pi_1"}
    news = refund_update(an_event("charge.refunded", **charge, **refunds))
    assert news == RefundUpdate(PAYMENTS, ())


@pytest.mark.parametrize("kind", ["charge.succeeded", "refund.something_new", "payout.paid"])
def test_other_events_tell_nothing(kind: str) -> None:
    assert refund_update(an_event(kind, object="whatever")) is None
    assert read_head(an_event(kind, object="whatever")).type == kind


def test_a_refund_from_the_dashboard_is_not_ours() -> None:
    refund = told(an_event("refund.created", **REFUND | {"metadata": {}}))
    assert refund.refund_id is None
    assert not refund.result.ours


def test_an_event_of_a_connected_account_names_it() -> None:
    event = json.loads(an_event("refund.created", **REFUND)) | {"account": "acct_1"}
    assert {ref.account for ref in told(json.dumps(event).encode()).payments} == {"acct_1"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b'{"type": "refund.updated"}',
        b'{"type": ["refund.updated"], "id": "evt_1"}',
        an_event("refund.updated", **REFUND | {"metadata": 7}),
        an_event("refund.updated", **REFUND | {"metadata": {"dispatch_refund_id": 7}}),
        an_event("charge.refunded", object="charge"),
        b"[" * 100_000,
    ],
)
def test_an_event_that_makes_no_sense_is_an_event_error(body: bytes) -> None:
    with pytest.raises(EventError):
        refund_update(body)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'"evt_1"', b"1"),
        (b'"evt_1"', b'""'),
        (b'"refund.updated"', b"null"),
        (b'"created": 1,', b'"created": "1",'),
        (b'"created": 1,', b'"created": 1e300,'),
        (b'"created": 1,', b'"created": 99999999999999,'),
        (b'"created": 1,', b""),
        (b'"data"', b'"date"'),
    ],
)
def test_a_head_that_makes_no_sense_is_an_event_error(old: bytes, new: bytes) -> None:
    body = BODY.replace(old, new, 1)
    assert body != BODY
    with pytest.raises(EventError):
        read_head(body)


@pytest.mark.parametrize("ticket", [7, "", "a\nb", "x" * 256, None])
def test_a_ticket_that_cannot_be_one_is_left_out(ticket: Any) -> None:
    metadata = {"dispatch_refund_id": "rfd_1", "dispatch_ticket_id": ticket}
    assert (
        read_head(an_event("refund.updated", **REFUND | {"metadata": metadata})).ticket_id is None
    )


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from(["refund.updated", "charge.refunded", "other"]),
)
def test_no_content_makes_another_error(content: Any, kind: str) -> None:
    body = json.dumps({"id": "evt_1", "type": kind, "data": {"object": content}}).encode()
    for read in (refund_update, read_head):
        with contextlib.suppress(EventError):
            read(body)


@pytest.mark.parametrize("status", [None, "a_new_status"])
def test_a_status_that_is_not_known_is_no_failure(status: str | None) -> None:
    news = refund_update(an_event("refund.updated", **REFUND | {"status": status}))
    assert news is not None
    assert news.refunds[0].result.status == "pending"


@pytest.mark.parametrize("bad", ["evt_\0", "evt_\ud83d", "x" * 256, "a\nb"])
@pytest.mark.parametrize("field", ["id", "type"])
def test_an_envelope_that_no_database_holds_is_unreadable(field: str, bad: str) -> None:
    event = json.loads(an_event("refund.updated", **REFUND)) | {field: bad}
    with pytest.raises(EventError, match="cannot be understood"):
        read_head(json.dumps(event).encode())
