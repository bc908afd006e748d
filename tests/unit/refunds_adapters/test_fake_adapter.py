"""The in-memory processor's own faults; the rest is held by the adapter contract."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from dispatch_returns.deliveries import WebhookRequest
from dispatch_returns.errors import (
    AdapterError,
    ErrorKind,
    EventError,
    SignatureError,
    UnsupportedFeatureError,
)
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef, RefundRequest, RefundStatus
from dispatch_returns.testing import FakeAdapter

REQUEST = RefundRequest(
    refund_id="rfd_1",
    idempotency_key="rfd_1-g1",
    payment=PaymentRef("payment_intent", "pi_1"),
    amount=Money(14900, "USD"),
    workspace_id="ws_1",
    ticket_id="tkt_1",
)
SECOND_GENERATION = replace(REQUEST, idempotency_key="rfd_1-g2")


@pytest.fixture
def adapter() -> FakeAdapter:
    return FakeAdapter({"pi_1": Money(30000, "USD")})


def kind_of(adapter: FakeAdapter, request: RefundRequest = REQUEST) -> ErrorKind:
    with pytest.raises(AdapterError) as caught:
        adapter.refund(request)
    return caught.value.kind


def test_a_scripted_exception_is_raised_once_and_nothing_is_made(adapter: FakeAdapter) -> None:
    adapter.fail_next(AdapterError(ErrorKind.RATE_LIMITED, "slow down", retry_after=1.5))
    assert kind_of(adapter) is ErrorKind.RATE_LIMITED
    assert adapter.refunds == []
    assert adapter.refund(REQUEST).status is RefundStatus.SUCCEEDED
    assert adapter.requests == [REQUEST, REQUEST]


def test_even_a_crash_can_be_scripted(adapter: FakeAdapter) -> None:
    adapter.fail_next(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        adapter.refund(REQUEST)
    assert adapter.refunds == []


def test_a_lost_response_leaves_a_refund_the_key_gives_again(adapter: FakeAdapter) -> None:
    adapter.fail_next("lost_response")
    assert kind_of(adapter) is ErrorKind.UNKNOWN_OUTCOME
    [made] = adapter.refunds
    assert adapter.refund(REQUEST) == made


@pytest.mark.parametrize(("fault", "made"), [("stored_500", 0), ("stored_500_but_paid", 1)])
def test_a_stored_500_is_given_for_ever(adapter: FakeAdapter, fault: str, made: int) -> None:
    adapter.fail_next(fault)  # type: ignore[arg-type]
    assert [kind_of(adapter) for _ in range(3)] == [ErrorKind.UNKNOWN_OUTCOME] * 3
    assert len(adapter.refunds) == made
    assert (adapter.find(REQUEST) is not None) == bool(made)


def test_a_forgotten_key_starts_a_new_refund() -> None:
    now = datetime(2025, 1, 1, tzinfo=UTC)
    adapter = FakeAdapter({"pi_1": Money(30000, "USD")}, clock=lambda: now)
    adapter.refund(REQUEST)
    now += timedelta(hours=23)
    adapter.refund(REQUEST)
    assert len(adapter.refunds) == 1
    now += timedelta(hours=1)
    adapter.refund(REQUEST)
    assert len(adapter.refunds) == 2
    with pytest.raises(AdapterError, match="more than once"):
        adapter.find(REQUEST)


def test_a_rejection_is_stored_with_its_key_and_a_new_key_is_free(adapter: FakeAdapter) -> None:
    outside = adapter.refund_externally("pi_1", Money(30000, "USD"))
    assert kind_of(adapter) is ErrorKind.ALREADY_REFUNDED
    adapter.set_status(outside.processor_id, RefundStatus.CANCELED)
    assert kind_of(adapter) is ErrorKind.ALREADY_REFUNDED
    assert adapter.refund(SECOND_GENERATION).ours


def test_a_failed_refund_gives_the_money_back_to_the_payment(adapter: FakeAdapter) -> None:
    first = adapter.refund(REQUEST)
    adapter.set_status(first.processor_id, RefundStatus.FAILED, failure_reason="declined")
    assert adapter.payment(REQUEST.payment).remaining == Money(30000, "USD")
    assert adapter.refund(SECOND_GENERATION).processor_id != first.processor_id


def test_reads_can_fail_too(adapter: FakeAdapter) -> None:
    adapter.fail_next("lost_response", call="payment")
    adapter.fail_next(AdapterError(ErrorKind.NOT_SENT, "no network"), call="find")
    with pytest.raises(AdapterError) as unanswered:
        adapter.payment(REQUEST.payment)
    with pytest.raises(AdapterError) as unsent:
        adapter.find(REQUEST)
    assert unanswered.value.kind is ErrorKind.UNKNOWN_OUTCOME
    assert unsent.value.kind is ErrorKind.NOT_SENT
    assert adapter.find(REQUEST) is None


def test_a_lookup_can_fail_to_answer(adapter: FakeAdapter) -> None:
    adapter.fail_next("lost_response", call="find")
    with pytest.raises(AdapterError):
        adapter.find(REQUEST)


def test_without_lookup_find_is_unsupported() -> None:
    adapter = FakeAdapter({"pi_1": Money(30000, "USD")}, lookup=False)
    with pytest.raises(UnsupportedFeatureError):
        adapter.find(REQUEST)


def test_without_keys_the_same_key_pays_twice() -> None:
    adapter = FakeAdapter({"pi_1": Money(30000, "USD")}, key_lifetime=None)
    adapter.refund(REQUEST)
    adapter.refund(REQUEST)
    assert len(adapter.refunds) == 2


def test_an_event_tells_where_a_refund_stands(adapter: FakeAdapter) -> None:
    adapter.add_payment("pi_2", Money(500, "JPY", 0))
    made = adapter.refund(
        replace(REQUEST, payment=PaymentRef("payment_intent", "pi_2"), amount=Money(500, "JPY", 0))
    )
    moved = adapter.set_status(made.processor_id, RefundStatus.SUCCEEDED, arn="7400")
    body, headers = adapter.event(made.processor_id)
    (head,) = adapter.verify_webhook(WebhookRequest("POST", "/", headers, body))
    assert head.type == "refund.updated"
    adapter.set_status(made.processor_id, RefundStatus.FAILED)
    news = adapter.parse_event(body)
    assert news is not None
    assert news.payments == (PaymentRef("payment_intent", "pi_2"),)
    (told,) = news.refunds
    assert (told.refund_id, told.result) == ("rfd_1", moved), "as it stood when it was sent"


def test_an_event_about_somebody_elses_refund_has_no_id_of_ours(adapter: FakeAdapter) -> None:
    made = adapter.refund_externally("pi_1", Money(100, "USD"))
    news = adapter.parse_event(adapter.event(made.processor_id)[0])
    assert news is not None
    (told,) = news.refunds
    assert told.refund_id is None
    assert not told.result.ours


def test_a_forged_event_and_one_about_nothing_are_refused(adapter: FakeAdapter) -> None:
    body, headers = adapter.event("fake_9")
    with pytest.raises(SignatureError):
        adapter.verify_webhook(WebhookRequest("POST", "/", headers, body + b" "))
    with pytest.raises(EventError):
        adapter.parse_event(body)


def test_its_repr_counts(adapter: FakeAdapter) -> None:
    adapter.refund(REQUEST)
    assert repr(adapter) == "FakeAdapter(1 payments, 1 refunds)"
