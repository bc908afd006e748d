"""What a refund needs to know about an order: its ids, and the payment it was paid with."""

from __future__ import annotations

from dataclasses import dataclass

from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.order_ids import same_order
from dispatch_returns.refunds.owner import NOT_KNOWN, Owner


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """What the shop's own system says about a ticket's order.

    ``names`` are all ids of the order, its own first; empty where no system was asked. ``payment``
    is None where the system does not say. ``missing``: the system was asked and has no such order.
    ``owner`` says whether the order belongs to the ticket's customer.
    """

    names: tuple[str, ...] = ()
    payment: PaymentRef | None = None
    missing: bool = False
    owner: Owner = NOT_KNOWN

    def is_called(self, name: str | None) -> bool:
        """Whether `name` is one of the order's ids."""
        return name is not None and any(same_order(name, it) for it in self.names)


NOT_ASKED = OrderRecord()
"""No system was asked: only the ticket says which order it is."""
MISSING = OrderRecord(missing=True)
