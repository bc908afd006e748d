"""Finding a payment by the order it was for, where the merchant's shop noted it in Stripe."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette

from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_sandbox import stripe as stand_in
from tests.support.stripe_sandbox import serving


@pytest.fixture
def url() -> Iterator[str]:
    with serving(Starlette(routes=stand_in.routes(stand_in.StripeState()))) as url:
        yield url


@pytest.fixture
def adapter(url: str) -> Iterator[StripeAdapter]:
    adapter = StripeAdapter(stand_in.API_KEY, base_url=url)
    yield adapter
    adapter.close()


def pay(url: str, order_id: str, **changes: str) -> str:
    form = {
        "amount": "14900",
        "currency": "usd",
        "payment_method": "pm_card_visa",
        "confirm": "true",
        "metadata[order_id]": order_id,
    } | changes
    made = httpx.post(f"{url}/v1/payment_intents", data=form, auth=(stand_in.API_KEY, ""))
    return str(made.raise_for_status().json()["id"])


@pytest.mark.parametrize("order_id", ["1234", "O'Hara's", "back\\slash", "' OR metadata['a']:'b"])
def test_the_one_payment_of_an_order_is_found(
    url: str, adapter: StripeAdapter, order_id: str
) -> None:
    pay(url, "another")
    wanted = pay(url, order_id)
    assert adapter.find_payment(order_id) == PaymentRef("payment_intent", wanted)
    payment = adapter.payment(PaymentRef("payment_intent", wanted))
    assert payment.order_id == order_id


def test_an_order_that_nobody_paid_has_no_payment(url: str, adapter: StripeAdapter) -> None:
    pay(url, "1234", confirm="false")
    assert adapter.find_payment("1234") is None
    assert adapter.find_payment("9999") is None


def test_two_payments_of_one_order_are_a_question_for_a_person(
    url: str, adapter: StripeAdapter
) -> None:
    pay(url, "1234")
    pay(url, "1234")
    assert adapter.find_payment("1234") is None
