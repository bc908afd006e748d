"""A ticket that becomes refunded, of an order that the shop itself refunds: the whole way."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

import dispatch_sandbox
from dispatch_returns import Connector, DispatchClient, Settings
from dispatch_returns.refunds import Reason, State
from dispatch_sandbox.shops import SHOPIFY_TOKEN, WOO_KEY, WOO_SECRET, ShopFault


@pytest.fixture(scope="module")
def box() -> Iterator[dispatch_sandbox.Sandbox]:
    with dispatch_sandbox.running() as box:
        with DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client:
            for key in ("refunded", "needs_review"):
                client.statuses.create(key=key, name=key)
        yield box


def options(box: dispatch_sandbox.Sandbox) -> dict[str, dict[str, str]]:
    """How each shop is reached."""
    return {
        "shopify": {"shop": box.url, "access_token": SHOPIFY_TOKEN},
        "woocommerce": {"url": box.url, "key": WOO_KEY, "secret": WOO_SECRET},
        "stripe": {"api_key": dispatch_sandbox.stripe.API_KEY, "base_url": box.url},
    }


def connector(
    box: dispatch_sandbox.Sandbox, tmp_path: Path, shop: str, adapter: str, **more: Any
) -> Connector:
    """A connector whose orders come from the shop."""
    given = options(box)
    return Connector(
        Settings(
            api_key=SecretStr(dispatch_sandbox.API_KEY),
            workspace=dispatch_sandbox.WORKSPACE,
            base_url=box.api_url,
            database_url=f"sqlite:///{tmp_path}/returns.db",
            adapters=(adapter,),
            adapter_options={adapter: given[adapter]},
            orders=(shop,),
            order_options={shop: given[shop]},
            evidence={},
            **more,
        )
    )


def a_ticket(shop: Connector, order_id: str, **fields: Any) -> str:
    ticket = shop.client.tickets.create(
        subject="Return",
        status="refunded",
        customer_email="jane@example.com",
        custom_fields={"order_id": order_id, "refund_amount": Decimal("49.00"), **fields},
    )
    return ticket.id


def test_an_order_paid_with_paypal_is_refunded_through_shopify(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    gid = box.state.shopify.pay("149.00", "USD", gateway="paypal", lines=[("SHOE", 1)])
    with connector(box, tmp_path, "shopify", "shopify") as shop:
        refund = shop.refund(a_ticket(shop, gid.rpartition("/")[2]))
    (made,) = box.state.shopify.refunds_of(gid)
    assert (refund.state, refund.processor_id) == (State.SUCCEEDED, made["id"])
    assert refund.id in made["note"]


def test_the_same_order_is_held_where_stripe_is_to_pay(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    gid = box.state.shopify.pay("149.00", "USD", gateway="paypal")
    with connector(box, tmp_path, "shopify", "stripe") as shop:
        refund = shop.refund(a_ticket(shop, gid))
    assert (refund.state, refund.reason) == (State.HELD, Reason.NO_PAYMENT)


def test_an_order_is_refunded_through_woocommerce(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    order = box.state.woocommerce.pay("149.00", "USD", lines=[("SHOE", 1, "149.00", "0.00")])
    with connector(box, tmp_path, "woocommerce", "woocommerce") as shop:
        refund = shop.refund(a_ticket(shop, order))
    (made,) = box.state.woocommerce.refunds_of(order)
    assert (refund.state, refund.processor_id) == (State.SUCCEEDED, str(made["id"]))


def test_what_somebody_refunded_in_the_shop_counts(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    gid = box.state.shopify.pay("149.00", "USD")
    box.state.shopify.refund_externally(gid, "120.00")
    with connector(box, tmp_path, "shopify", "shopify") as shop:
        refund = shop.refund(a_ticket(shop, gid))
    assert refund.state is State.HELD
    assert len(box.state.shopify.refunds_of(gid)) == 1


def test_an_answer_that_was_lost_is_found_and_pays_once(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    gid = box.state.shopify.pay("149.00", "USD")
    box.state.shopify.faults.add(ShopFault("lost_answer"))
    with connector(box, tmp_path, "shopify", "shopify") as shop:
        refund = shop.refund(a_ticket(shop, gid))
        assert refund.state is State.UNKNOWN
        shop.refunds.advance(refund)
        (row,) = shop.refunds_of(refund.ticket_id)
    assert row.state is State.SUCCEEDED
    assert len(box.state.shopify.refunds_of(gid)) == 1
