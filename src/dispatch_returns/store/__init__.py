"""The engine room: connections, transactions, queues, inbox, outbox and audit log, in one database.

`Store` opens it. Each module holds the statements for one table, which take the connection of
their transaction. The ledger's are in `dispatch_returns.refunds`, those for returns in
`dispatch_returns.returns`.
"""

from __future__ import annotations

from dispatch_returns.store.database import Store
from dispatch_returns.store.inbox import NewEvent

__all__ = ["NewEvent", "Store"]


def __dir__() -> list[str]:
    return __all__
