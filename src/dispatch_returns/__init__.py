"""Returns as tickets in Dispatch, refunds through Stripe, each paid exactly once.

The public names are imported when they are first used, so that importing the package costs
next to nothing: no HTTP client, no database, no framework.
"""

from __future__ import annotations

from dispatch_returns._faces import lazy
from dispatch_returns._version import __version__

TYPE_CHECKING = False  # type checkers know the name; importing typing would cost more than all this
if TYPE_CHECKING:
    from dispatch_returns import errors, refunds, webhooks
    from dispatch_returns.client import AsyncDispatchClient, DispatchClient
    from dispatch_returns.connector import Connector, Context, RefundEvent, Settings
    from dispatch_returns.money import Money
    from dispatch_returns.returns.policy import PolicyBook, ReturnPolicy
    from dispatch_returns.store import Store

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

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy(
        __name__,
        __all__,
        ".connector",
        {
            ".": ["errors", "refunds", "webhooks"],
            ".client": ["AsyncDispatchClient", "DispatchClient"],
            ".money": ["Money"],
            ".returns.policy": ["PolicyBook", "ReturnPolicy"],
            ".store": ["Store"],
        },
    )
