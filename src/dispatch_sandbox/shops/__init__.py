"""Stand-ins for the refunds of two shop systems: test doubles, not Shopify and not WooCommerce.

They answer what a refund asks for, in the shops' shapes, keep Shopify's idempotency keys as it
documents them, and produce faults on demand. Every answer carries ``x-sandbox: dispatch-returns``.
"""

from __future__ import annotations

from dispatch_sandbox.shops.faults import ShopFault
from dispatch_sandbox.shops.shopify import SHOPIFY_TOKEN, ShopifyState, shopify_routes
from dispatch_sandbox.shops.woocommerce import (
    WOO_KEY,
    WOO_SECRET,
    WooState,
    woocommerce_routes,
)

__all__ = [
    "SHOPIFY_TOKEN",
    "WOO_KEY",
    "WOO_SECRET",
    "ShopFault",
    "ShopifyState",
    "WooState",
    "shopify_routes",
    "woocommerce_routes",
]


def __dir__() -> list[str]:
    return __all__
