"""The in-memory processor, held to the contract."""

from __future__ import annotations

import uuid
from typing import ClassVar

import pytest

from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef, RefundStatus
from dispatch_returns.testing import FakeAdapter, RefundAdapterContract


class TestFakeAdapter(RefundAdapterContract):
    cannot: ClassVar = {
        "test_its_repr_holds_no_secret": "it has no key",
        "test_a_wrong_credential_is_an_auth_error": "it has no key",
        "test_an_unreachable_processor_was_not_sent_anything": "it is in memory",
    }

    @pytest.fixture(autouse=True)
    def new_processor(self) -> None:
        self.fake = FakeAdapter({})

    def make_adapter(self) -> FakeAdapter:
        return self.fake

    def make_payment(self, amount: Money) -> PaymentRef:
        payment_id = f"pi_{uuid.uuid4().hex}"
        self.fake.add_payment(payment_id, amount)
        return PaymentRef("payment_intent", payment_id)

    def lose_next_response(self) -> None:
        self.fake.fail_next("lost_response")

    def refund_externally(self, ref: PaymentRef, amount: Money) -> None:
        self.fake.refund_externally(ref.id, amount)

    def make_payment_that_bounces(self, amount: Money) -> PaymentRef:
        self.fake.first_status = RefundStatus.FAILED
        return self.make_payment(amount)

    def make_disputed_payment(self, amount: Money) -> PaymentRef:
        ref = self.make_payment(amount)
        self.fake.dispute(ref.id)
        return ref
