"""The merchant's orders, and where they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns._faces import lazy

if TYPE_CHECKING:
    from dispatch_returns.returns.orders.model import Order, OrderLine, OrderSource
    from dispatch_returns.returns.orders.shopify import ShopifyOrders
    from dispatch_returns.returns.orders.sql import SqlOrders
    from dispatch_returns.returns.orders.stripe import StripeOrders
    from dispatch_returns.returns.orders.ticket import TicketOrders
    from dispatch_returns.returns.orders.woocommerce import WooCommerceOrders

__all__ = [
    "Order",
    "OrderLine",
    "OrderSource",
    "ShopifyOrders",
    "SqlOrders",
    "StripeOrders",
    "TicketOrders",
    "WooCommerceOrders",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        __all__,
        ".model",
        {
            ".shopify": ["ShopifyOrders"],
            ".sql": ["SqlOrders"],
            ".stripe": ["StripeOrders"],
            ".ticket": ["TicketOrders"],
            ".woocommerce": ["WooCommerceOrders"],
        },
    )
