"""Dispatch, two processors, and the databases for them."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

import dispatch_sandbox
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns.steps.statuses import STEPS
from dispatch_sandbox.braintree import MERCHANT_ID, PRIVATE_KEY, PUBLIC_KEY
from dispatch_sandbox.shops import WOO_KEY, WOO_SECRET
from tests.e2e.crash.returns import Place, Processor, client_of
from tests.support import peers, postgres


@pytest.fixture(scope="module")
def dispatch() -> Iterator[dispatch_sandbox.Sandbox]:
    with dispatch_sandbox.running() as running:
        with client_of(running) as client:
            client.statuses.create(key="refunded", name="Refunded")
            client.statuses.create(key="needs_review", name="Needs review")
        yield running


@pytest.fixture(scope="module")
def workspace(dispatch: dispatch_sandbox.Sandbox) -> dispatch_sandbox.Sandbox:
    with client_of(dispatch) as client:
        there = {status.key for status in client.statuses.list()}
        for key in STEPS:
            if key not in there:
                client.statuses.create(key=key, name=key)
    return dispatch


@pytest.fixture(scope="module")
def stand_in(dispatch: dispatch_sandbox.Sandbox) -> Iterator[Processor]:
    """Our own stand-in for Stripe: PaymentIntents."""
    key = dispatch_sandbox.stripe.API_KEY
    http = httpx.Client(base_url=dispatch.url, auth=(key, ""))

    def pay() -> dict[str, str]:
        form = {
            "amount": 50000,
            "currency": "usd",
            "confirm": "true",
            "payment_method": "pm_card_visa",
        }
        made = http.post("/v1/payment_intents", data=form).raise_for_status().json()
        return {"payment_intent": made["id"]}

    def refunds(field: dict[str, str]) -> list[dict[str, Any]]:
        listed = http.get("/v1/refunds", params=field).raise_for_status().json()
        return list(listed["data"])

    with http:
        yield Processor("stand-in", dispatch.url, key, pay, refunds)


@pytest.fixture(scope="module")
def stateful_mock() -> Iterator[Processor]:
    """npm's stripe-stateful-mock, written by others: charges."""
    key = "sk_test_crash"
    with peers.start_stateful_mock() as url, httpx.Client(base_url=url, auth=(key, "")) as http:

        def pay() -> dict[str, str]:
            form = {"amount": 50000, "currency": "usd", "source": "tok_visa"}
            made = http.post("/v1/charges", data=form).raise_for_status().json()
            return {"charge_id": made["id"]}

        def refunds(field: dict[str, str]) -> list[dict[str, Any]]:
            charge = http.get(f"/v1/charges/{field['charge_id']}").raise_for_status().json()
            return list(charge["refunds"]["data"])

        yield Processor("stripe-stateful-mock", url, key, pay, refunds)


@pytest.fixture
def woocommerce(dispatch: dispatch_sandbox.Sandbox, tmp_path: Path) -> Place:
    """Our own stand-in for WooCommerce, which has no idempotency key."""
    shop = dispatch.state.woocommerce

    def pay() -> dict[str, str]:
        return {"payment_reference": shop.pay("500.00", "USD")}

    def refunds(field: dict[str, str]) -> list[dict[str, Any]]:
        made = shop.refunds_of(field["payment_reference"])
        return [{"id": str(it["id"]), "amount": int(Decimal(it["amount"]) * 100)} for it in made]

    options = {"url": dispatch.url, "key": WOO_KEY, "secret": WOO_SECRET}
    processor = Processor("woocommerce", dispatch.url, "", pay, refunds, "woocommerce", options)
    return Place(f"sqlite:///{tmp_path}/returns.db", dispatch, processor)


@pytest.fixture
def braintree(dispatch: dispatch_sandbox.Sandbox, tmp_path: Path) -> Place:
    """Our own stand-in for Braintree, which has no idempotency key; it settles a day later."""
    state = dispatch.state.braintree

    def refunds(field: dict[str, str]) -> list[dict[str, Any]]:
        made = state.transactions[field["payment_reference"]].refunds
        return [{"id": it.id, "amount": int(it.value * 100)} for it in made]

    processor = Processor(
        "braintree",
        state.base_url,
        "",
        lambda: {"payment_reference": state.pay("500.00", "USD")},
        refunds,
        adapter="braintree",
        options={
            "merchant_id": MERCHANT_ID,
            "public_key": PUBLIC_KEY,
            "private_key": PRIVATE_KEY,
            "base_url": state.base_url,
        },
        ends_as=State.PENDING,
    )
    return Place(f"sqlite:///{tmp_path}/returns.db", dispatch, processor)


@pytest.fixture(
    params=[
        ("sqlite", "stand_in"),
        pytest.param(("sqlite", "stateful_mock"), marks=pytest.mark.peer),
        ("postgresql", "stand_in"),
    ],
    ids="-".join,
)
def place(
    request: pytest.FixtureRequest, dispatch: dispatch_sandbox.Sandbox, tmp_path: Path
) -> Iterator[Place]:
    database, name = request.param
    processor: Processor = request.getfixturevalue(name)
    if database == "sqlite":
        yield Place(f"sqlite:///{tmp_path}/returns.db", dispatch, processor)
        return
    with postgres.new_database() as url:
        yield Place(url, dispatch, processor)
