"""What the merchant's order sources say of the order of a refund."""

from __future__ import annotations

from dispatch_returns.refunds.orders import NOT_ASKED, OrderRecord
from dispatch_returns.refunds.ticket_facts import Facts
from dispatch_returns.returns.orders.model import Order, OrderSource
from dispatch_returns.returns.orders.registry import is_shop
from dispatch_returns.returns.owners import Owners


class OrderRecords:
    """Asks `orders`, None where no source is configured. Safe to use in many threads."""

    def __init__(self, orders: OrderSource | None, owners: Owners) -> None:
        self._orders = orders
        self._owners = owners

    def of_facts(self, facts: Facts) -> OrderRecord:
        """Return what is known of the order that a ticket names. Raises `OrderError`."""
        if self._orders is None:
            return NOT_ASKED
        order: Order | None = None
        if facts.order_id is not None:
            order = self._orders.order(facts.order_id, facts.ticket)
        owner = self._owners.of(order, facts.ticket, facts.workspace_id, facts.order_id)
        if order is None or order.from_ticket:
            # A ticket's own word for its order is no record of the shop's.
            return OrderRecord(missing=is_shop(self._orders), owner=owner)
        names = (order.id, order.number, facts.order_id)
        known = tuple(name for name in names if name is not None)
        return OrderRecord(known, order.payment, owner=owner)
