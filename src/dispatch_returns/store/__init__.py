"""The engine room: connections, transactions, queues, inbox, outbox and audit log, in one database.

`Store` opens it. Each module holds the statements of one table; they take the connection of the
transaction they belong to. The ledger's are in `dispatch_returns.refunds`, those of returns in
`dispatch_returns.returns`.
"""

from __future__ import annotations

from dispatch_returns.store.database import Store
from dispatch_returns.store.inbox import NewEvent

__all__ = ["NewEvent", "Store"]


def __dir__() -> list[str]:
    return __all__
