"""Refunds of PayPal captures. Nothing here imports cryptography before an adapter is made."""

from __future__ import annotations

from dispatch_returns.refunds.adapters.paypal.adapter import PayPalAdapter

__all__ = ["PayPalAdapter"]
