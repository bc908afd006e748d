"""Refunds through Stripe. Nothing here imports Stripe's SDK before an adapter is made."""

from __future__ import annotations

from dispatch_returns.refunds.adapters.stripe.adapter import StripeAdapter, StripeOptions

__all__ = ["StripeAdapter", "StripeOptions"]
