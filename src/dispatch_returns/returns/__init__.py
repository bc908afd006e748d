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
    from dispatch_returns.returns.steps.statuses import STEPS, StatusNames
    from dispatch_returns.returns.steps.workflow import Workflow
    from dispatch_returns.returns.transitions import Step

__all__ = [
    "STEPS",
    "Receipt",
    "Return",
    "Returns",
    "StatusNames",
    "Step",
    "Workflow",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        __all__,
        ".records",
        {
            ".receipts": ["Receipt"],
            ".service": ["Returns"],
            ".steps.workflow": ["Workflow"],
            ".steps.statuses": ["STEPS", "StatusNames"],
            ".transitions": ["Step"],
        },
    )
