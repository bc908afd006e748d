"""Refunds through Shopify, in the order's books."""

from __future__ import annotations

from dispatch_returns.refunds.adapters.shopify.adapter import ShopifyAdapter
from dispatch_returns.refunds.adapters.shopify.options import ShopifyOptions, ShopifyRefundOptions

__all__ = ["ShopifyAdapter", "ShopifyOptions", "ShopifyRefundOptions"]
