"""The merchant's return policy: its rules, and why each decision was made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns._faces import lazy

if TYPE_CHECKING:
    from dispatch_returns.returns.policy.book import PolicyBook
    from dispatch_returns.returns.policy.policy import ReturnPolicy
    from dispatch_returns.returns.policy.verdict import (
        Breakdown,
        History,
        Inspection,
        Item,
        Outcome,
        ReturnRequest,
        ShippingPaid,
        Verdict,
    )

__all__ = [
    "Breakdown",
    "History",
    "Inspection",
    "Item",
    "Outcome",
    "PolicyBook",
    "ReturnPolicy",
    "ReturnRequest",
    "ShippingPaid",
    "Verdict",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__, __all__, ".verdict", {".book": ["PolicyBook"], ".policy": ["ReturnPolicy"]}
    )
