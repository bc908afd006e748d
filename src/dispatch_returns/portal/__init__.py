"""The portal: pages on which customers ask for a return, and see what becomes of it.

`options` and `quote` are the pure core: what may come back, and what for. `ReturnsPortal` serves
the pages; each mount of `dispatch_returns.webhooks` takes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns._faces import lazy

if TYPE_CHECKING:
    from dispatch_returns.portal.core import (
        Objection,
        Quote,
        ReturnableItem,
        ReturnDraft,
        ReturnOptions,
        options,
        quote,
    )
    from dispatch_returns.portal.portal import ReturnsPortal

__all__ = [
    "Objection",
    "Quote",
    "ReturnDraft",
    "ReturnOptions",
    "ReturnableItem",
    "ReturnsPortal",
    "options",
    "quote",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(__name__, __all__, ".core", {".portal": ["ReturnsPortal"]})
