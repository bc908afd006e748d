"""Refunds and voids of Braintree transactions, over its GraphQL API."""

from __future__ import annotations

from dispatch_returns.refunds.adapters.braintree.adapter import BraintreeAdapter, BraintreeOptions

__all__ = ["BraintreeAdapter", "BraintreeOptions"]
