"""The truth: inbox, returns, ledger and outbox in one SQL database.

`Store` opens it; `inbox`, `returns`, `labels`, `receipts`, `ledger` and `outbox` hold the
statements, each taking the connection of the transaction it belongs to.
"""

from __future__ import annotations

from dispatch_returns.store import inbox, labels, ledger, outbox, receipts, returns
from dispatch_returns.store.database import Store
from dispatch_returns.store.inbox import NewEvent

__all__ = [
    "NewEvent",
    "Store",
    "inbox",
    "labels",
    "ledger",
    "outbox",
    "receipts",
    "returns",
]
