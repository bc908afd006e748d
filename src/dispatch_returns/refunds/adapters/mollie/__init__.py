"""Refunds of Mollie payments, over httpx."""

from __future__ import annotations

from dispatch_returns.refunds.adapters.mollie.adapter import MollieAdapter

__all__ = ["MollieAdapter"]
