"""Which refund of a list is ours, and what that allows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import (
    KnownRefund,
    PaymentRef,
    RefundRequest,
    RefundResult,
    RefundStatus,
    UnreadableRefund,
)
from dispatch_returns.refunds.adapters.own_refunds import check_left, find_own, repeated

REF = PaymentRef("reference", "1234")
REQUEST = RefundRequest("rfd_1", "rfd_1-g2", REF, Money(1000, "USD"), "ws_1", "tkt_1")


def made(status: RefundStatus, key: str = "rfd_1-g2") -> KnownRefund:
    result = RefundResult("re_1", status, Money(1000, "USD"))
    return KnownRefund(result, (REF,), datetime(2026, 1, 15, tzinfo=UTC), "rfd_1", key)


def kind_of(found: KnownRefund | None, request: RefundRequest = REQUEST) -> ErrorKind | None:
    try:
        repeated(found, request, "Acme")
    except AdapterError as error:
        return error.kind
    return None


def test_what_this_key_made_is_given_again() -> None:
    found = made(RefundStatus.FAILED)
    assert repeated(find_own([found], REQUEST, "Acme"), REQUEST, "Acme") is found


def test_a_refund_of_an_earlier_key_that_moves_money_is_never_made_again() -> None:
    earlier = made(RefundStatus.PENDING, "rfd_1-g1")
    assert kind_of(find_own([earlier], REQUEST, "Acme")) is ErrorKind.KEY_CONFLICT


def test_an_earlier_keys_failure_says_nothing_about_this_one() -> None:
    assert find_own([made(RefundStatus.FAILED, "rfd_1-g1")], REQUEST, "Acme") is None


def test_another_amount_under_this_key_is_a_conflict() -> None:
    other = replace(REQUEST, amount=Money(900, "USD"))
    assert kind_of(made(RefundStatus.PENDING), other) is ErrorKind.KEY_CONFLICT


def test_one_that_cannot_be_read_may_be_ours() -> None:
    with pytest.raises(AdapterError) as caught:
        find_own([UnreadableRefund("re_9", "no status")], REQUEST, "Acme")
    assert caught.value.kind is ErrorKind.UNREADABLE_REFUND


@pytest.mark.parametrize(
    ("left", "kind"),
    [
        (Money(0, "USD"), ErrorKind.ALREADY_REFUNDED),
        (Money(999, "USD"), ErrorKind.EXCEEDS_REMAINING),
        (Money(5000, "EUR"), ErrorKind.CONFIG),
        (Money(5000, "JPY", 0), ErrorKind.CONFIG),
    ],
)
def test_what_is_left_is_compared_in_its_currency(left: Money, kind: ErrorKind) -> None:
    with pytest.raises(AdapterError) as caught:
        check_left(REQUEST, left, "Acme")
    assert caught.value.kind is kind
