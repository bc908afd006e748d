"""What `doctor` and `setup` say about the two ways to refund an order of a shop system."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from dispatch_returns.cli.check import DoctorCheck

if TYPE_CHECKING:
    from dispatch_returns.connector.settings import Settings

SHOPS = {"shopify": "Shopify", "woocommerce": "WooCommerce"}
"""Adapters that refund the orders of the order source that has their name."""
_PAGE = "docs/shop-refunds.md"


def recommendation(settings: Settings) -> str | None:
    """Return the advice to refund through the shop that the orders come from, if it applies."""
    adapters = settings.adapter_plugins.values()
    shop = next((it for it in settings.orders if it in SHOPS and it not in adapters), None)
    if shop is None:
        return None
    return (
        f"Orders come from {SHOPS[shop]}. With DISPATCH_RETURNS_ADAPTERS={shop} it refunds them"
        f" itself, so that its books and stock agree with what was paid: {_PAGE}."
    )


def run(settings: Settings) -> Iterator[DoctorCheck]:
    """Report a refund that would be in the shop's books twice, or not at all."""
    adapters = settings.adapter_plugins
    shops = [plugin for plugin in adapters.values() if plugin in SHOPS]
    for shop in shops:
        if shop not in settings.orders:
            yield DoctorCheck(
                "shop's books",
                "warning",
                f"{SHOPS[shop]} refunds its orders, and no order is read from it: a ticket must"
                " name the order's id as its payment_reference",
                f"Add {shop} to DISPATCH_RETURNS_ORDERS.",
            )
    stripes = [
        *(
            settings.adapter_options.get(name, {})
            for name, it in adapters.items()
            if it == "stripe"
        ),
        settings.order_options.get("stripe", {}),
    ]
    if shops and any(options.get("webhook_secret") for options in stripes):
        names = " and ".join(SHOPS[shop] for shop in shops)
        yield DoctorCheck(
            "shop's books",
            "warning",
            f"{names} refunds through its own gateway, and STRIPE_WEBHOOK_SECRET is set: Stripe's"
            " webhooks report the same refunds again, as if somebody else had made them",
            "If the shop is paid through this Stripe account, delete the webhook at Stripe and"
            " unset STRIPE_WEBHOOK_SECRET.",
        )
    advice = recommendation(settings)
    if "stripe" in adapters.values() and not shops and advice is not None:
        yield DoctorCheck(
            "shop's books",
            "warning",
            "refunds are made at Stripe, past the shop: its books and stock do not know of them,"
            " and a plugin that hears of them from Stripe may enter them a second time",
            advice,
        )
