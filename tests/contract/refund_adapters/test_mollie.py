"""`MollieAdapter` on our stand-in."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import ClassVar

import pytest

from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.adapters.mollie import MollieAdapter
from dispatch_returns.testing import RefundAdapterContract
from dispatch_sandbox.mollie import API_KEY, MollieStandIn
from dispatch_sandbox.processors.server import app_of
from tests.support.stripe_sandbox import serving

_AMOUNT_ONLY = "Mollie only says that the amount is too high; the guard asks for the payment first"
WRONG = "test_NobodysMollieKey0123456789abc"


class TestStandIn(RefundAdapterContract):
    secrets: ClassVar = (API_KEY, WRONG)
    cannot: ClassVar = {
        "test_a_payment_with_nothing_left_is_already_refunded": _AMOUNT_ONLY,
        "test_a_disputed_payment_is_refused": _AMOUNT_ONLY,
    }
    mollie: ClassVar[MollieStandIn]
    url: ClassVar[str]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls) -> Iterator[None]:
        cls.mollie = MollieStandIn()
        with serving(app_of(cls.mollie)) as cls.url:
            cls.mollie.base_url = cls.url
            yield

    def make_adapter(self) -> MollieAdapter:
        return MollieAdapter(API_KEY, base_url=self.url)

    def make_adapter_with_wrong_credential(self) -> MollieAdapter:
        return MollieAdapter(WRONG, base_url=self.url)

    def make_unreachable_adapter(self) -> MollieAdapter:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return MollieAdapter(API_KEY, base_url=f"http://127.0.0.1:{port}")

    def make_payment(self, amount: Money) -> PaymentRef:
        return PaymentRef("reference", self.mollie.pay(str(amount.major), amount.currency))

    def make_payment_that_bounces(self, amount: Money) -> PaymentRef:
        ref = self.make_payment(amount)
        self.mollie.fail("fail_later", payment=ref.id, seconds=60)
        return ref

    def make_disputed_payment(self, amount: Money) -> PaymentRef:
        ref = self.make_payment(amount)
        self.mollie.dispute(ref.id)
        return ref

    def lose_next_response(self) -> None:
        self.mollie.fail("lost_response")

    def refund_externally(self, ref: PaymentRef, amount: Money) -> None:
        self.mollie.refund_externally(ref.id, str(amount.major))

    def paid_back(self, ref: PaymentRef) -> int:
        return self.mollie.refunded(ref.id)

    def let_time_pass(self) -> None:
        self.mollie.advance(60)
