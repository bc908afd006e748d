"""What a refund must know of an order: what it is called, and which payment it was paid with."""

from __future__ import annotations

from dataclasses import dataclass

from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.order_ids import same_order
from dispatch_returns.refunds.owner import NOT_KNOWN, Owner


@dataclass(frozen=True, slots=True)
class OrderRecord:
    """What the shop's own system says of a ticket's order.

    ``names`` are all ids that the order goes by, its own first; empty where no system was asked.
    ``payment`` is None where the system does not say. ``missing``: it was asked and knows no such
    order. ``owner`` says whether it is the order of the ticket's customer.
    """

    names: tuple[str, ...] = ()
    payment: PaymentRef | None = None
    missing: bool = False
    owner: Owner = NOT_KNOWN

    def is_called(self, name: str | None) -> bool:
        """Whether the order goes by this name, among others."""
        return name is not None and any(same_order(name, it) for it in self.names)


NOT_ASKED = OrderRecord()
"""Only the ticket says which order it is."""
MISSING = OrderRecord(missing=True)
