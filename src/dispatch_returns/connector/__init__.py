"""The connector: what an event leads to, who runs it, and the object that users hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dispatch_returns._faces import lazy

if TYPE_CHECKING:
    from dispatch_returns.connector.connector import Connector
    from dispatch_returns.connector.handlers import Context, RefundEvent
    from dispatch_returns.connector.provision import EVENTS
    from dispatch_returns.connector.settings import Settings

__all__ = [
    "EVENTS",
    "Connector",
    "Context",
    "RefundEvent",
    "Settings",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        __all__,
        ".handlers",
        {".connector": ["Connector"], ".provision": ["EVENTS"], ".settings": ["Settings"]},
    )
