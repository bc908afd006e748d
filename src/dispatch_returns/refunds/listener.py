"""How the merchant's own code learns about a refund: listeners run inside the transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Connection

from dispatch_returns.refunds.ledger import Refund

RefundListener = Callable[[Connection, Refund, datetime], None]
"""Called with a refund that has changed state, in the transaction that changed it.

It may use the connection to write to the outbox, and for nothing else.
"""


def no_listener(conn: Connection, refund: Refund, now: datetime) -> None:
    """Do nothing: there is no listener."""
