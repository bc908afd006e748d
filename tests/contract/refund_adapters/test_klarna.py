"""`KlarnaAdapter` on our stand-in."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import ClassVar

import pytest

from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.adapters.klarna import KlarnaAdapter
from dispatch_returns.testing import RefundAdapterContract
from dispatch_sandbox.klarna import PASSWORD, USERNAME, KlarnaStandIn
from dispatch_sandbox.processors.server import app_of
from tests.support.stripe_sandbox import serving

_FINAL = "a refund at Klarna is final at once, so none fails later"
_NO_LIST = "Klarna lists the refunds of one order only"
WRONG = "nobodys-klarna-password"


class TestStandIn(RefundAdapterContract):
    secrets: ClassVar = (PASSWORD, WRONG)
    cannot: ClassVar = {
        "test_a_disputed_payment_is_refused": "an order at Klarna does not say that it is disputed",
        "test_find_shows_that_our_refund_failed": _FINAL,
        "test_find_leaves_an_earlier_attempts_failure_out": _FINAL,
        "test_an_unsigned_event_is_refused": "Klarna sends no webhooks about refunds",
        "test_a_payments_refunds_are_listed_with_whose_they_are": _NO_LIST,
        "test_all_refunds_are_listed_by_their_time": _NO_LIST,
    }
    klarna: ClassVar[KlarnaStandIn]
    url: ClassVar[str]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls) -> Iterator[None]:
        cls.klarna = KlarnaStandIn()
        with serving(app_of(cls.klarna)) as cls.url:
            yield

    def make_adapter(self) -> KlarnaAdapter:
        return KlarnaAdapter(USERNAME, PASSWORD, base_url=self.url)

    def make_adapter_with_wrong_credential(self) -> KlarnaAdapter:
        return KlarnaAdapter(USERNAME, WRONG, base_url=self.url)

    def make_unreachable_adapter(self) -> KlarnaAdapter:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return KlarnaAdapter(USERNAME, PASSWORD, base_url=f"http://127.0.0.1:{port}")

    def make_payment(self, amount: Money) -> PaymentRef:
        return PaymentRef("reference", self.klarna.pay(str(amount.major), amount.currency))

    def lose_next_response(self) -> None:
        self.klarna.fail("lost_response")

    def refund_externally(self, ref: PaymentRef, amount: Money) -> None:
        self.klarna.refund_externally(ref.id, str(amount.major))

    def paid_back(self, ref: PaymentRef) -> int:
        return self.klarna.refunded(ref.id)
