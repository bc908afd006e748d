"""Return labels, and who makes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns._faces import lazy

if TYPE_CHECKING:
    from dispatch_returns.returns.labels.easypost import EasyPostLabels
    from dispatch_returns.returns.labels.printable import PrintableLabels
    from dispatch_returns.returns.labels.provider import (
        Address,
        Label,
        LabelProvider,
        LabelRequest,
        PackingLine,
    )
    from dispatch_returns.returns.labels.registry import available, load
    from dispatch_returns.returns.labels.shippo import ShippoLabels

__all__ = [
    "Address",
    "EasyPostLabels",
    "Label",
    "LabelProvider",
    "LabelRequest",
    "PackingLine",
    "PrintableLabels",
    "ShippoLabels",
    "available",
    "load",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        __all__,
        ".provider",
        {
            ".easypost": ["EasyPostLabels"],
            ".printable": ["PrintableLabels"],
            ".shippo": ["ShippoLabels"],
            ".registry": ["available", "load"],
        },
    )
