"""The truth: inbox, returns, ledger, outbox and what people did, in one SQL database.

`Store` opens it; `inbox`, `returns`, `labels`, `receipts`, `ledger`, `outbox`, `journal` and
`switches` hold the statements, each taking the connection of the transaction it belongs to.
"""

from __future__ import annotations

from dispatch_returns.store import (
    go_live,
    heartbeats,
    inbox,
    installation,
    jobs,
    journal,
    labels,
    ledger,
    outbox,
    outside,
    receipts,
    restores,
    returns,
    switches,
)
from dispatch_returns.store.database import Store
from dispatch_returns.store.inbox import NewEvent

__all__ = [
    "NewEvent",
    "Store",
    "go_live",
    "heartbeats",
    "inbox",
    "installation",
    "jobs",
    "journal",
    "labels",
    "ledger",
    "outbox",
    "outside",
    "receipts",
    "restores",
    "returns",
    "switches",
]
