"""`StripeAdapter` on everything that claims to be Stripe: our stand-in, two peers, test mode."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import ClassVar

import pytest
from starlette.applications import Starlette

from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_sandbox import stripe as stand_in
from tests.support.peers import start_localstripe, start_stateful_mock
from tests.support.stripe_contract import StripeContract
from tests.support.stripe_sandbox import serving

TEST_MODE_KEY = os.environ.get("STRIPE_TEST_KEY", "")
ALL_REFUNDS_SUCCEED = {
    "test_find_shows_that_our_refund_failed": "all its refunds succeed",
    "test_find_leaves_an_earlier_attempts_failure_out": "all its refunds succeed",
}


class TestStandIn(StripeContract):
    """Our own, with PaymentIntents."""

    key = stand_in.API_KEY
    secrets: ClassVar = (stand_in.API_KEY, *StripeContract.secrets)
    state: ClassVar[stand_in.StripeState]

    @classmethod
    @contextmanager
    def start_server(cls) -> Iterator[str]:
        cls.state = stand_in.StripeState()
        with serving(Starlette(routes=stand_in.routes(cls.state))) as url:
            yield url

    def let_time_pass(self) -> None:
        self.state.advance(60)


class TestStandInCharges(TestStandIn):
    """Our own, with charges named instead of PaymentIntents."""

    def pay(self, amount: Money, method: str) -> PaymentRef:
        token = method.replace("pm_card_", "tok_")
        form = {"amount": str(amount.minor), "currency": amount.currency, "source": token}
        return PaymentRef("charge", self.post("/v1/charges", form)["id"])


@pytest.mark.peer
class TestStatefulMock(StripeContract):
    """npm's stripe-stateful-mock: charges, idempotency keys, error codes; no PaymentIntents."""

    cannot: ClassVar = {
        **ALL_REFUNDS_SUCCEED,
        "test_all_refunds_are_listed_by_their_time": "it takes no notice of a filter by time",
    }
    make_payment_that_bounces = StripeContract.not_there

    @classmethod
    def start_server(cls) -> AbstractContextManager[str]:
        return start_stateful_mock()

    def pay(self, amount: Money, method: str) -> PaymentRef:
        token = method.replace("pm_card_", "tok_")
        form = {"amount": str(amount.minor), "currency": amount.currency, "source": token}
        return PaymentRef("charge", self.post("/v1/charges", form)["id"])


@pytest.mark.peer
class TestLocalstripe(StripeContract):
    """PyPI's localstripe: PaymentIntents; no idempotency keys, and no limits on refunds.

    It refuses `reason`, which Stripe knows: the way to it leaves the field out.
    """

    drops = frozenset({"reason"})
    cannot: ClassVar = {
        **ALL_REFUNDS_SUCCEED,
        "test_more_than_is_left_is_refused": "it refunds more than was paid",
        "test_a_payment_with_nothing_left_is_already_refunded": "it refunds more than was paid",
        "test_a_disputed_payment_is_refused": "it has no disputes",
        "test_the_same_key_twice_pays_once": "it ignores idempotency keys",
        "test_the_same_key_from_another_process_pays_once": "it ignores idempotency keys",
        "test_the_same_key_with_another_amount_is_a_conflict": "it ignores idempotency keys",
        "test_two_threads_with_one_key_make_one_refund": "it ignores idempotency keys",
        "test_a_lost_refund_is_given_again_by_its_key": "it ignores idempotency keys",
        "test_all_refunds_are_listed_by_their_time": "it answers 500 to a filter by time",
    }
    make_payment_that_bounces = StripeContract.not_there
    make_disputed_payment = StripeContract.not_there

    @classmethod
    def start_server(cls) -> AbstractContextManager[str]:
        return start_localstripe()

    def pay(self, amount: Money, method: str) -> PaymentRef:
        card = {"number": "4242424242424242", "exp_month": "12", "exp_year": "2034", "cvc": "123"}
        form = {"type": "card", **{f"card[{name}]": value for name, value in card.items()}}
        return super().pay(amount, self.post("/v1/payment_methods", form)["id"])


@pytest.mark.peer
@pytest.mark.skipif(bool(TEST_MODE_KEY), reason="STRIPE_TEST_KEY is set: see TestStripeTestMode")
def test_stripe_itself() -> None:
    pytest.skip("STRIPE_TEST_KEY is not set: the contract was not run on Stripe itself")


@pytest.mark.peer
class TestStripeTestMode(StripeContract):
    """Stripe itself, in test mode, where somebody gives a key for it."""

    __test__ = bool(TEST_MODE_KEY)

    key = TEST_MODE_KEY
    secrets: ClassVar = (TEST_MODE_KEY, *StripeContract.secrets)

    @classmethod
    def start_server(cls) -> AbstractContextManager[str]:
        return nullcontext("https://api.stripe.com")

    def make_payment(self, amount: Money) -> PaymentRef:
        # This card's money is available at once, so that a new account can refund it.
        return self.pay(amount, "pm_card_bypassPending")
