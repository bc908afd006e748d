"""Refunds of Klarna orders, over httpx."""

from __future__ import annotations

from dispatch_returns.refunds.adapters.klarna.adapter import KlarnaAdapter

__all__ = ["KlarnaAdapter"]
