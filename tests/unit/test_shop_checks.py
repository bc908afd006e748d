"""What doctor and setup say about refunds of a shop's orders."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from dispatch_returns.cli import shop_checks
from dispatch_returns.connector.settings import Settings


def settings(adapter: str, *orders: str, **more: Any) -> Settings:
    given: dict[str, Any] = {"adapters": (adapter,), "orders": orders} | more
    return Settings(api_key=SecretStr("k"), workspace="ws_1", **given)


@pytest.mark.parametrize("shop", ["shopify", "woocommerce"])
def test_a_shop_that_stripe_refunds_past_is_warned_of_and_recommended(shop: str) -> None:
    (check,) = shop_checks.run(settings("stripe", shop))
    assert (check.name, check.status) == ("shop's books", "warning")
    assert f"ADAPTERS={shop}" in (check.remedy or "")
    assert shop_checks.recommendation(settings("stripe", shop)) == check.remedy


def test_a_shop_that_refunds_its_own_orders_is_fine() -> None:
    assert list(shop_checks.run(settings("shopify", "shopify"))) == []
    assert shop_checks.recommendation(settings("shopify", "shopify")) is None


def test_stripes_webhooks_of_what_the_shop_refunds_are_warned_of() -> None:
    options = {"stripe": {"webhook_secret": "whsec"}}
    orders = settings("shopify", "shopify", "stripe", order_options=options)
    both = settings("", "shopify", adapters=("shopify", "stripe"), adapter_options=options)
    for given in (orders, both):
        (check,) = shop_checks.run(given)
        assert "STRIPE_WEBHOOK_SECRET is set" in check.detail
        assert "whsec" not in check.detail


def test_an_adapter_of_a_shop_without_its_orders_is_warned_of() -> None:
    (check,) = shop_checks.run(settings("woocommerce", "sql"))
    assert check.remedy == "Add woocommerce to DISPATCH_RETURNS_ORDERS."


def test_a_merchant_without_a_shop_system_hears_nothing_of_it() -> None:
    assert list(shop_checks.run(settings("stripe", "ticket", "sql"))) == []
