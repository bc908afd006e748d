"""The six steps of a return. What they are made of has rooms of its own: orders, policy, labels,
notifications and the timeline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns._faces import lazy

if TYPE_CHECKING:
    from dispatch_returns.returns.receipts import Receipt
    from dispatch_returns.returns.records import Return
    from dispatch_returns.returns.service import Returns
    from dispatch_returns.returns.steps.protocols import Parts
    from dispatch_returns.returns.steps.statuses import STEPS, Statuses
    from dispatch_returns.returns.transitions import Step

__all__ = [
    "STEPS",
    "Parts",
    "Receipt",
    "Return",
    "Returns",
    "Statuses",
    "Step",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        __all__,
        ".records",
        {
            ".receipts": ["Receipt"],
            ".service": ["Returns"],
            ".steps.protocols": ["Parts"],
            ".steps.statuses": ["STEPS", "Statuses"],
            ".transitions": ["Step"],
        },
    )
