"""`CheckoutComAdapter` on our stand-in."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import ClassVar

import pytest

from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.adapters.checkout_com import CheckoutComAdapter
from dispatch_returns.testing import RefundAdapterContract
from dispatch_sandbox.checkout_com import SECRET_KEY, CheckoutComStandIn
from dispatch_sandbox.processors.server import app_of
from tests.support.stripe_sandbox import serving

WRONG = "sk_sbox_nobodynobodynobodynobodyno2"
_NO_LIST = "Checkout.com lists refunds by payment only, and this adapter lists none"


class TestStandIn(RefundAdapterContract):
    secrets: ClassVar = (SECRET_KEY, WRONG)
    cannot: ClassVar = {
        "test_a_disputed_payment_is_refused": "Checkout.com's payment does not show a dispute",
        "test_a_payments_refunds_are_listed_with_whose_they_are": _NO_LIST,
        "test_all_refunds_are_listed_by_their_time": _NO_LIST,
    }
    checkout: ClassVar[CheckoutComStandIn]
    url: ClassVar[str]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls) -> Iterator[None]:
        cls.checkout = CheckoutComStandIn()
        with serving(app_of(cls.checkout)) as cls.url:
            cls.checkout.base_url = cls.url
            yield

    def make_adapter(self) -> CheckoutComAdapter:
        return CheckoutComAdapter(SECRET_KEY, base_url=self.url)

    def make_adapter_with_wrong_credential(self) -> CheckoutComAdapter:
        return CheckoutComAdapter(WRONG, base_url=self.url)

    def make_unreachable_adapter(self) -> CheckoutComAdapter:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return CheckoutComAdapter(SECRET_KEY, base_url=f"http://127.0.0.1:{port}")

    def make_payment(self, amount: Money) -> PaymentRef:
        return PaymentRef("reference", self.checkout.pay(str(amount.major), amount.currency))

    def make_payment_that_bounces(self, amount: Money) -> PaymentRef:
        ref = self.make_payment(amount)
        self.checkout.fail("fail_later", payment=ref.id, seconds=60)
        return ref

    def lose_next_response(self) -> None:
        self.checkout.fail("lost_response")

    def refund_externally(self, ref: PaymentRef, amount: Money) -> None:
        self.checkout.refund_externally(ref.id, str(amount.major))

    def paid_back(self, ref: PaymentRef) -> int:
        return self.checkout.refunded(ref.id)

    def let_time_pass(self) -> None:
        self.checkout.advance(60)
