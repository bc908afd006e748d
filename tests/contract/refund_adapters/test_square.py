"""`SquareAdapter` on our stand-in, every request and answer held to Square's description."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import ClassVar

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.adapters.square import SquareAdapter
from dispatch_returns.testing import RefundAdapterContract
from dispatch_sandbox.square import ACCESS_TOKEN
from tests.support.square_sandbox import DescribedSquare, serving_square

WRONG = "EAAA-nobodys-square-access-token"


class TestStandIn(RefundAdapterContract):
    secrets: ClassVar = (ACCESS_TOKEN, WRONG)
    cannot: ClassVar = {
        "test_a_payment_with_nothing_left_is_already_refunded": (
            "Square only says that the amount is invalid; the guard asks for the payment first"
        ),
        "test_a_disputed_payment_is_refused": (
            "a payment does not say that it is disputed; its refund is refused, as below"
        ),
    }
    square: ClassVar[DescribedSquare]
    url: ClassVar[str]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls) -> Iterator[None]:
        with serving_square() as (cls.square, cls.url):
            yield

    def make_adapter(self) -> SquareAdapter:
        return SquareAdapter(ACCESS_TOKEN, base_url=self.url)

    def make_adapter_with_wrong_credential(self) -> SquareAdapter:
        return SquareAdapter(WRONG, base_url=self.url)

    def make_unreachable_adapter(self) -> SquareAdapter:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return SquareAdapter(ACCESS_TOKEN, base_url=f"http://127.0.0.1:{port}")

    def make_payment(self, amount: Money) -> PaymentRef:
        return PaymentRef("reference", self.square.pay(str(amount.major), amount.currency))

    def make_payment_that_bounces(self, amount: Money) -> PaymentRef:
        ref = self.make_payment(amount)
        self.square.fail("fail_later", payment=ref.id, seconds=60)
        return ref

    def lose_next_response(self) -> None:
        self.square.fail("lost_response")

    def refund_externally(self, ref: PaymentRef, amount: Money) -> None:
        self.square.refund_externally(ref.id, str(amount.major))

    def paid_back(self, ref: PaymentRef) -> int:
        return self.square.refunded(ref.id)

    def let_time_pass(self) -> None:
        self.square.advance(60)

    def test_a_refund_of_a_disputed_payment_is_refused(self) -> None:
        request = self._new_request(14900)
        self.square.dispute(request.payment.id)
        self._is_refused(request.payment, ErrorKind.DISPUTED)

    def test_a_payment_that_is_only_approved_waits(self) -> None:
        ref = PaymentRef("reference", self.square.pay("149.00", status="APPROVED"))
        self._is_refused(ref, ErrorKind.NOT_SETTLED)

    def test_after_a_failure_for_want_of_funds_no_refund_is_possible(self) -> None:
        ref = self.make_payment(self.money(14900))
        self.square.fail("fail_later", payment=ref.id, seconds=60, code="INSUFFICIENT_FUNDS")
        adapter = self.make_adapter()
        adapter.refund(self.request(ref, 4900))
        self.square.advance(60)
        adapter.close()
        self._is_refused(ref, ErrorKind.NOT_REFUNDABLE)

    def test_a_twenty_first_refund_is_refused(self) -> None:
        ref = self.make_payment(self.money(14900))
        for _ in range(20):
            self.square.refund_externally(ref.id, "1.00")
        self._is_refused(ref, ErrorKind.NOT_REFUNDABLE)

    def _is_refused(self, ref: PaymentRef, kind: ErrorKind) -> None:
        adapter = self.make_adapter()
        with pytest.raises(AdapterError) as caught:
            adapter.refund(self.request(ref, 100))
        adapter.close()
        assert caught.value.kind is kind
