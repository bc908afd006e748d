"""The connector: what an event leads to, who runs it, and the object that users hold.

The names are imported when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dispatch_returns.connector.connector import Connector, Context, RefundEvent
    from dispatch_returns.connector.settings import Settings

__all__ = ["Connector", "Context", "RefundEvent", "Settings"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    home = "settings" if name == "Settings" else "connector"
    globals()[name] = value = getattr(import_module(f"{__name__}.{home}"), name)
    return value


def __dir__() -> list[str]:
    return __all__
