"""Refunds of Square payments, over httpx."""

from __future__ import annotations

from dispatch_returns.refunds.adapters.square.adapter import SquareAdapter

__all__ = ["SquareAdapter"]
