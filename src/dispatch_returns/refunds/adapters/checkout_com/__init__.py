"""Refunds of Checkout.com payments, over httpx."""

from __future__ import annotations

from dispatch_returns.refunds.adapters.checkout_com.adapter import CheckoutComAdapter

__all__ = ["CheckoutComAdapter"]
