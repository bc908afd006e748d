"""How the merchant's own code hears of a refund: whoever listens is told inside the transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from dispatch_returns.refunds.ledger import Refund

Announce = Callable[[Connection, Refund, datetime], None]
"""Called with a refund that has come to another state, in the transaction that brought it there.

It may write to the outbox with the connection, and nothing else.
"""


def tell_nobody(conn: Connection, refund: Refund, now: datetime) -> None:
    """Nobody listens."""
