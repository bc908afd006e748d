"""The adapter without a processor: a person pays."""

from __future__ import annotations

from typing import Any

import pytest

from dispatch_returns.errors import (
    ConfigurationError,
    InvalidArgumentError,
    UnsupportedFeatureError,
)
from dispatch_returns.money import CurrencyRule, Money
from dispatch_returns.refunds.adapter import (
    PaymentRef,
    RefundAdapter,
    RefundRequest,
    RefundStatus,
    SupportsListing,
    SupportsWebhooks,
)
from dispatch_returns.refunds.adapters.manual import ManualAdapter
from dispatch_returns.refunds.registry import build_adapter

ADAPTER = ManualAdapter()
REQUEST = RefundRequest(
    refund_id="rfd_1",
    idempotency_key="rfd_1-g1",
    payment=PaymentRef("reference", "INV-1"),
    amount=Money(14900, "USD"),
    workspace_id="ws_1",
    ticket_id="tkt_1",
)


def test_it_is_a_refund_adapter_that_says_a_person_pays() -> None:
    assert isinstance(ADAPTER, RefundAdapter)
    assert ADAPTER.capabilities.manual
    assert not ADAPTER.capabilities.lookup
    ADAPTER.close()


@pytest.mark.parametrize("kind", ["reference", "payment_intent", "charge"])
def test_of_any_payment_only_the_currency_is_known(kind: Any) -> None:
    payment = ManualAdapter("jpy").payment(PaymentRef(kind, "anything"))
    assert (payment.currency, payment.rule) == ("JPY", CurrencyRule(decimals=0))
    assert payment.remaining is None


def test_a_refund_waits_for_the_person_however_often_it_is_asked_for() -> None:
    result = ADAPTER.refund(REQUEST)
    assert (result.processor_id, result.status) == ("manual_rfd_1", RefundStatus.PENDING)
    assert result.amount == REQUEST.amount
    assert ADAPTER.refund(REQUEST) == ManualAdapter().refund(REQUEST) == result


def test_nothing_can_be_looked_up_or_listed_and_nobody_sends_events() -> None:
    with pytest.raises(UnsupportedFeatureError):
        ADAPTER.find(REQUEST)
    assert not isinstance(ADAPTER, SupportsWebhooks | SupportsListing)


def test_it_is_built_from_settings() -> None:
    assert repr(build_adapter("manual", {})) == "ManualAdapter(currency='USD')"
    assert repr(build_adapter("manual", {"currency": "eur"})) == "ManualAdapter(currency='EUR')"
    with pytest.raises(ConfigurationError, match="currency"):
        build_adapter("manual", {"currency": "dollars"})


def test_a_currency_that_is_none_is_named() -> None:
    with pytest.raises(InvalidArgumentError, match="currency"):
        ManualAdapter("dollars")
