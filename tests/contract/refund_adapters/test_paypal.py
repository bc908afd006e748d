"""`PayPalAdapter` on our stand-in, every request and answer held to PayPal's description."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import ClassVar

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.adapters.paypal import PayPalAdapter
from dispatch_returns.refunds.adapters.paypal.adapter import SANDBOX
from dispatch_returns.testing import RefundAdapterContract
from dispatch_sandbox.paypal import CLIENT_ID, CLIENT_SECRET
from tests.support.described import only_known
from tests.support.paypal_sandbox import DescribedPayPal, serving_paypal

TEST_CLIENT = os.environ.get("PAYPAL_TEST_CLIENT_ID", "")
TEST_SECRET = os.environ.get("PAYPAL_TEST_CLIENT_SECRET", "")
WRONG = "nobodys-paypal-secret-4242"
_BY_ID = "PayPal finds a refund by its own id only: the same key is the look-up"
_NO_LIST = "PayPal lists no refunds of a capture"


class TestStandIn(RefundAdapterContract):
    secrets: ClassVar = (CLIENT_SECRET, WRONG)
    cannot: ClassVar = {
        "test_the_same_key_with_another_amount_is_a_conflict": (
            "PayPal does not document it; the service compares the amounts"
        ),
        "test_find_returns_our_refund": _BY_ID,
        "test_find_tells_two_refunds_of_a_payment_apart": _BY_ID,
        "test_find_returns_nothing_before_a_refund": _BY_ID,
        "test_find_ignores_a_part_refunded_by_somebody_else": _BY_ID,
        "test_find_ignores_all_of_it_refunded_by_somebody_else": _BY_ID,
        "test_find_leaves_an_earlier_attempts_failure_out": _BY_ID,
        "test_a_lost_refund_can_be_looked_up": _BY_ID,
        "test_a_payments_refunds_are_listed_with_whose_they_are": _NO_LIST,
        "test_all_refunds_are_listed_by_their_time": _NO_LIST,
    }
    paypal: ClassVar[DescribedPayPal]
    url: ClassVar[str]

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def server(cls) -> Iterator[None]:
        with serving_paypal() as (cls.paypal, cls.url):
            yield
        posted = [json.loads(it.body) for it in cls.paypal.log if it.path.endswith("/refund")]
        assert posted, "nothing was refunded"
        for body in posted:
            cls.paypal.description.check(body, "refund_request")
            only_known(body, cls.paypal.description.properties("refund_request"))

    def make_adapter(self) -> PayPalAdapter:
        return PayPalAdapter(CLIENT_ID, CLIENT_SECRET, base_url=self.url)

    def make_adapter_with_wrong_credential(self) -> PayPalAdapter:
        return PayPalAdapter(CLIENT_ID, WRONG, base_url=self.url)

    def make_unreachable_adapter(self) -> PayPalAdapter:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return PayPalAdapter(CLIENT_ID, CLIENT_SECRET, base_url=f"http://127.0.0.1:{port}")

    def make_payment(self, amount: Money) -> PaymentRef:
        return PaymentRef("reference", self.paypal.pay(str(amount.major), amount.currency))

    def make_payment_that_bounces(self, amount: Money) -> PaymentRef:
        ref = self.make_payment(amount)
        self.paypal.fail("fail_later", payment=ref.id, seconds=60)
        return ref

    def make_disputed_payment(self, amount: Money) -> PaymentRef:
        ref = self.make_payment(amount)
        self.paypal.dispute(ref.id)
        return ref

    def lose_next_response(self) -> None:
        self.paypal.fail("lost_response")

    def refund_externally(self, ref: PaymentRef, amount: Money) -> None:
        self.paypal.refund_externally(ref.id, str(amount.major))

    def paid_back(self, ref: PaymentRef) -> int:
        return self.paypal.refunded(ref.id)

    def let_time_pass(self) -> None:
        self.paypal.advance(60)


@pytest.mark.peer
@pytest.mark.skipif(bool(TEST_SECRET), reason="PAYPAL_TEST_CLIENT_ID is set: see TestPayPalSandbox")
def test_paypal_itself() -> None:
    pytest.skip("PAYPAL_TEST_CLIENT_ID is not set: nothing was asked of PayPal itself")


@pytest.mark.peer
class TestPayPalSandbox:
    """PayPal's own sandbox, as far as it goes without a buyer: who is let in, and what is missing.

    A capture needs a buyer's approval in a browser, so no payment is made here.
    """

    __test__ = bool(TEST_SECRET)

    @pytest.fixture
    def adapter(self) -> Iterator[PayPalAdapter]:
        adapter = PayPalAdapter(TEST_CLIENT, TEST_SECRET, base_url=SANDBOX)
        yield adapter
        adapter.close()

    def test_the_app_is_let_in(self, adapter: PayPalAdapter) -> None:
        assert adapter.check().startswith("lets the app in (sandbox mode)")
        adapter.account()

    def test_a_capture_that_there_is_none_of_is_not_found(self, adapter: PayPalAdapter) -> None:
        with pytest.raises(AdapterError) as caught:
            adapter.payment(PaymentRef("reference", "0JF852973C016714D"))
        assert caught.value.kind is ErrorKind.NOT_FOUND

    def test_a_wrong_secret_is_an_auth_error(self) -> None:
        with (
            closing(PayPalAdapter(TEST_CLIENT, WRONG, base_url=SANDBOX)) as adapter,
            pytest.raises(AdapterError) as caught,
        ):
            adapter.check()
        assert caught.value.kind is ErrorKind.AUTH
