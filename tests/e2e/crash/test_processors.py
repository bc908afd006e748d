"""The same with each further processor: a killed worker leaves exactly one refund.

A point of each kind runs by default; all of them, and PostgreSQL, with ``--long``.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Protocol

import pytest

import dispatch_sandbox
from dispatch_returns.refunds.transitions import State
from dispatch_sandbox.adyen import API_KEY, HMAC_KEY, MERCHANT_ACCOUNT
from dispatch_sandbox.paypal import CLIENT_ID, CLIENT_SECRET
from dispatch_sandbox.shops import SHOPIFY_TOKEN
from tests.e2e.crash.points import POINTS
from tests.e2e.crash.returns import Place, Processor, a_return_that_became_refunded
from tests.e2e.crash.test_crash import AFTER_ALL_LEASES, work
from tests.e2e.crash.worker import Orders
from tests.support import postgres

pytestmark = pytest.mark.crash

SHORT = {"before adapter.refund", "after adapter.refund", "before refund.outcome"}
"""Before the call, after it, and where its answer is known and not on disk."""


class HasRefunds(Protocol):
    """A stand-in that tells the refunds of a payment."""

    def refunds_of(self, payment: str, /) -> list[tuple[str, int]]:
        """Return those that move money: id and minor units."""
        ...


def made_by(state: HasRefunds) -> Callable[[dict[str, str]], list[dict[str, Any]]]:
    """Return what finds the refunds of the payment that a ticket's field names."""
    return lambda field: [
        {"id": made, "amount": minor}
        for made, minor in state.refunds_of(field["payment_reference"])
    ]


def paypal(dispatch: dispatch_sandbox.Sandbox) -> Processor:
    """Our stand-in for PayPal, beside Dispatch."""
    state = dispatch.state.paypal

    return Processor(
        "paypal",
        state.base_url,
        CLIENT_SECRET,
        lambda: {"payment_reference": state.pay("500.00")},
        made_by(state),
        adapter="paypal",
        options={
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
            "base_url": state.base_url,
        },
    )


def shopify(dispatch: dispatch_sandbox.Sandbox) -> Processor:
    """Our stand-in for Shopify: the order is the payment."""
    shop = dispatch.state.shopify

    def refunds(field: dict[str, str]) -> list[dict[str, Any]]:
        return [
            {"id": refund["id"], "amount": int(Decimal(move["amount"]) * 100)}
            for refund in shop.refunds_of(field["payment_reference"])
            for it in refund["transactions"]["nodes"]
            for move in [it["amountSet"]["presentmentMoney"]]
        ]

    return Processor(
        "shopify",
        dispatch.url,
        SHOPIFY_TOKEN,
        lambda: {"payment_reference": shop.pay("500.00", "USD")},
        refunds,
        adapter="shopify",
        options={"shop": dispatch.url, "access_token": SHOPIFY_TOKEN},
    )


def adyen(dispatch: dispatch_sandbox.Sandbox) -> Processor:
    """Our stand-in for Adyen, whose webhook is the only outcome, and is not sent here."""
    state = dispatch.state.adyen

    def refunds(field: dict[str, str]) -> list[dict[str, Any]]:
        made = state.payments[field["payment_reference"]].refunds
        return [{"id": it.psp_reference, "amount": it.value} for it in made]

    return Processor(
        "adyen",
        state.base_url,
        API_KEY,
        lambda: {"payment_reference": state.pay("500.00", "USD"), "currency": "USD"},
        refunds,
        adapter="adyen",
        options={
            "api_key": API_KEY,
            "merchant_account": MERCHANT_ACCOUNT,
            "hmac_key": HMAC_KEY,
            "base_url": state.base_url,
        },
        ends_as=State.PENDING,
    )


def mollie(dispatch: dispatch_sandbox.Sandbox) -> Processor:
    """Our stand-in for Mollie, whose refunds are pending first."""
    state = dispatch.state.mollie

    return Processor(
        "mollie",
        state.base_url,
        dispatch_sandbox.mollie.API_KEY,
        lambda: {"payment_reference": state.pay("500.00", "USD")},
        made_by(state),
        adapter="mollie",
        options={"api_key": dispatch_sandbox.mollie.API_KEY, "base_url": state.base_url},
        ends_as=State.PENDING,
    )


def square(dispatch: dispatch_sandbox.Sandbox) -> Processor:
    """Our stand-in for Square, whose refunds are pending first."""
    state = dispatch.state.square

    token = dispatch_sandbox.square.ACCESS_TOKEN
    return Processor(
        "square",
        state.base_url,
        token,
        lambda: {"payment_reference": state.pay("500.00", "USD")},
        made_by(state),
        adapter="square",
        options={"access_token": token, "base_url": state.base_url},
        ends_as=State.PENDING,
    )


def klarna(dispatch: dispatch_sandbox.Sandbox) -> Processor:
    """Our stand-in for Klarna, whose refunds are final at once."""
    state = dispatch.state.klarna

    return Processor(
        "klarna",
        state.base_url,
        dispatch_sandbox.klarna.PASSWORD,
        lambda: {"payment_reference": state.pay("500.00", "USD")},
        made_by(state),
        adapter="klarna",
        options={
            "username": dispatch_sandbox.klarna.USERNAME,
            "password": dispatch_sandbox.klarna.PASSWORD,
            "base_url": state.base_url,
        },
    )


def checkout_com(dispatch: dispatch_sandbox.Sandbox) -> Processor:
    """Our stand-in for Checkout.com, whose refunds are only accepted first."""
    state = dispatch.state.checkout_com
    key = dispatch_sandbox.checkout_com.SECRET_KEY

    return Processor(
        "checkout_com",
        state.base_url,
        key,
        lambda: {"payment_reference": state.pay("500.00", "USD")},
        made_by(state),
        adapter="checkout_com",
        options={"secret_key": key, "base_url": state.base_url},
        ends_as=State.PENDING,
    )


PROCESSORS: Mapping[str, Callable[[dispatch_sandbox.Sandbox], Processor]] = {
    "adyen": adyen,
    "checkout_com": checkout_com,
    "klarna": klarna,
    "mollie": mollie,
    "paypal": paypal,
    "shopify": shopify,
    "square": square,
}


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.long),
    ]
)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/returns.db"
        return
    with postgres.new_database() as url:
        yield url


@pytest.mark.parametrize(
    "point",
    [pytest.param(point, marks=() if point in SHORT else pytest.mark.long) for point in POINTS],
)
@pytest.mark.parametrize("name", PROCESSORS)
def test_a_killed_worker_leaves_exactly_one_refund(
    database_url: str, dispatch: dispatch_sandbox.Sandbox, name: str, point: str
) -> None:
    place = Place(database_url, dispatch, PROCESSORS[name](dispatch))
    returned = a_return_that_became_refunded(place)
    assert work(Orders(returned.settings, die_at=point)) == -signal.SIGKILL
    assert work(Orders(returned.settings, ahead=AFTER_ALL_LEASES)) == 0
    returned.was_paid_once(place)


def test_the_short_run_has_points_that_there_are() -> None:
    assert set(POINTS) >= SHORT
