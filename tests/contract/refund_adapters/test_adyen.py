"""`AdyenAdapter` on our stand-in, every request and answer held to Adyen's description."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar

import pytest

from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.adapters.adyen import AdyenAdapter
from dispatch_returns.testing import RefundAdapterContract
from dispatch_sandbox.adyen import API_KEY, HMAC_KEY
from tests.support.adyen_sandbox import DescribedAdyen, adapter_at, serving_adyen

WRONG = "AQE-nobodys-4242"
_NO_PAYMENT = "Adyen looks up no payment"
_BY_WEBHOOK = "Adyen acknowledges it, and refuses it by webhook"
_NO_FIND = "Adyen looks up no refund: the webhook is the only outcome"
_NO_LIST = "Adyen lists no refunds"


class TestStandIn(RefundAdapterContract):
    secrets: ClassVar = (API_KEY, WRONG, HMAC_KEY)
    currency: ClassVar = "EUR"
    cannot: ClassVar = {
        "test_a_payment_tells_what_was_charged": _NO_PAYMENT,
        "test_a_payment_without_decimals_keeps_its_amount": _NO_PAYMENT,
        "test_an_unknown_payment_is_not_found": _NO_PAYMENT,
        "test_a_full_refund_leaves_nothing": _NO_PAYMENT,
        "test_partial_refunds_add_up": _NO_PAYMENT,
        "test_a_wrong_credential_is_an_auth_error": _NO_PAYMENT,
        "test_an_unreachable_processor_was_not_sent_anything": _NO_PAYMENT,
        "test_more_than_is_left_is_refused": _BY_WEBHOOK,
        "test_a_payment_with_nothing_left_is_already_refunded": _BY_WEBHOOK,
        "test_a_disputed_payment_is_refused": _BY_WEBHOOK,
        "test_find_by_the_processors_id_returns_our_refund": _NO_FIND,
        "test_find_returns_our_refund": _NO_FIND,
        "test_find_tells_two_refunds_of_a_payment_apart": _NO_FIND,
        "test_find_returns_nothing_before_a_refund": _NO_FIND,
        "test_find_ignores_a_part_refunded_by_somebody_else": _NO_FIND,
        "test_find_ignores_all_of_it_refunded_by_somebody_else": _NO_FIND,
        "test_find_shows_that_our_refund_failed": _NO_FIND,
        "test_find_leaves_an_earlier_attempts_failure_out": _NO_FIND,
        "test_a_lost_refund_can_be_looked_up": _NO_FIND,
        "test_a_payments_refunds_are_listed_with_whose_they_are": _NO_LIST,
        "test_all_refunds_are_listed_by_their_time": _NO_LIST,
    }
    adyen: ClassVar[DescribedAdyen]
    url: ClassVar[str]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls) -> Iterator[None]:
        with serving_adyen() as (cls.adyen, cls.url):
            yield

    def make_adapter(self) -> AdyenAdapter:
        return adapter_at(self.url)

    def make_adapter_with_wrong_credential(self) -> AdyenAdapter:
        return adapter_at(self.url, WRONG)

    def make_unreachable_adapter(self) -> AdyenAdapter:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return adapter_at(f"http://127.0.0.1:{port}")

    def make_payment(self, amount: Money) -> PaymentRef:
        return PaymentRef("reference", self.adyen.pay(str(amount.major), amount.currency))

    def unknown_payment(self) -> PaymentRef:
        ref = self.make_payment(self.money(14900))
        return replace(ref, id=ref.id[::-1])

    def lose_next_response(self) -> None:
        self.adyen.fail("lost_response")

    def paid_back(self, ref: PaymentRef) -> int:
        return self.adyen.refunded(ref.id)
