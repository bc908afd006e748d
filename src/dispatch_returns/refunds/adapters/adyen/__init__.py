"""Refunds of payments that Adyen took (Checkout API v72)."""

from __future__ import annotations

from dispatch_returns.refunds.adapters.adyen.adapter import AdyenAdapter, AdyenOptions

__all__ = ["AdyenAdapter", "AdyenOptions"]
