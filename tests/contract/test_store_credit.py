"""The example's adapter, held to the contract as its author would."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import ClassVar

import pytest

from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.testing import RefundAdapterContract
from examples.store_credit import StoreCredit

_NO_KEY = "the database has no key of its own"
_AT_ONCE = "the credit is there at once, or the transaction is gone"


class TestStoreCredit(RefundAdapterContract):
    cannot: ClassVar = {
        "test_its_repr_holds_no_secret": _NO_KEY,
        "test_a_wrong_credential_is_an_auth_error": _NO_KEY,
        "test_an_unreachable_processor_was_not_sent_anything": "it is a file",
        "test_a_lost_response_is_an_unknown_outcome": _AT_ONCE,
        "test_a_lost_refund_is_given_again_by_its_key": _AT_ONCE,
        "test_a_lost_refund_can_be_looked_up": _AT_ONCE,
        "test_find_shows_that_our_refund_failed": _AT_ONCE,
        "test_find_leaves_an_earlier_attempts_failure_out": _AT_ONCE,
        "test_a_disputed_payment_is_refused": "store credit is not disputed with a bank",
        "test_a_key_that_is_too_long_is_refused_before_it_is_sent": "any key fits",
        "test_an_unsigned_event_is_refused": "it has no webhooks",
        "test_a_payments_refunds_are_listed_with_whose_they_are": "it lists nothing",
        "test_all_refunds_are_listed_by_their_time": "it lists nothing",
    }

    @pytest.fixture(autouse=True)
    def new_shop(self, tmp_path: Path) -> None:
        self.shop = StoreCredit(tmp_path / "shop.db")

    def make_adapter(self) -> StoreCredit:
        return self.shop

    def make_payment(self, amount: Money) -> PaymentRef:
        payment_id = uuid.uuid4().hex
        self.shop.record_payment(payment_id, amount)
        return PaymentRef("reference", payment_id)

    def refund_externally(self, ref: PaymentRef, amount: Money) -> None:
        request = self.request(ref, amount.minor)
        self.shop.refund(request)
