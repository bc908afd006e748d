"""Returns as tickets in Dispatch, refunds through Stripe, each paid exactly once.

The public names are imported when they are first used, so that importing the package costs
next to nothing: no HTTP client, no database, no framework.
"""

from __future__ import annotations

from dispatch_returns._version import __version__

TYPE_CHECKING = False  # type checkers know the name; importing typing would cost more than all this
if TYPE_CHECKING:
    from dispatch_returns import errors as errors
    from dispatch_returns import refunds as refunds
    from dispatch_returns import webhooks as webhooks
    from dispatch_returns.client import AsyncDispatchClient as AsyncDispatchClient
    from dispatch_returns.client import DispatchClient as DispatchClient
    from dispatch_returns.connector import Connector as Connector
    from dispatch_returns.connector import Context as Context
    from dispatch_returns.connector import RefundEvent as RefundEvent
    from dispatch_returns.connector import Settings as Settings
    from dispatch_returns.money import Money as Money
    from dispatch_returns.returns.policy import PolicyBook as PolicyBook
    from dispatch_returns.returns.policy import ReturnPolicy as ReturnPolicy
    from dispatch_returns.store import Store as Store

_SUBMODULES = frozenset({"errors", "refunds", "webhooks"})
_HOMES = {
    "AsyncDispatchClient": "client",
    "Connector": "connector",
    "Context": "connector",
    "DispatchClient": "client",
    "Money": "money",
    "PolicyBook": "returns.policy",
    "ReturnPolicy": "returns.policy",
    "RefundEvent": "connector",
    "Settings": "connector",
    "Store": "store",
}

__all__ = [
    "AsyncDispatchClient",
    "Connector",
    "Context",
    "DispatchClient",
    "Money",
    "PolicyBook",
    "RefundEvent",
    "ReturnPolicy",
    "Settings",
    "Store",
    "__version__",
    "errors",
    "refunds",
    "webhooks",
]


def __getattr__(name: str) -> object:
    if name not in _SUBMODULES and name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name in _SUBMODULES:
        return import_module(f"{__name__}.{name}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
