"""The merchant of the demo: a policy, an order table, labels and notices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from dispatch_returns.refunds import PaymentRef
from dispatch_returns.returns import Workflow, labels
from dispatch_returns.returns.notifications import Templates, TicketComments
from dispatch_returns.returns.orders import Order, OrderLine
from dispatch_returns.returns.policy import PolicyBook, ReturnPolicy
from dispatch_sandbox.demo.cast import Return

if TYPE_CHECKING:
    from dispatch_returns.client import DispatchClient, Ticket

_POLICY = ReturnPolicy.of(
    version="demo",
    window_days=30,
    conditions=["good"],
    condition_fees={"damaged": "50%"},
    returnless_under="7 USD, 7 EUR, 7 GBP, 1000 JPY, 2 KWD",
    reminder_days=7,
    expiry_days=30,
    rules=[
        {
            "name": "no reason",
            "reasons": ["other"],
            "outcome": "review",
            "why": "Without a reason a person decides.",
        }
    ],
)
_RETURNS = labels.Address("Demo Shop, returns", "Dock 3", "Springfield", "12345", "US", state="IL")


class OrderTable:
    """What a merchant's own database knows of its orders."""

    name = "demo"

    def __init__(self, cast: list[Return], payments: Mapping[str, PaymentRef]) -> None:
        now = datetime.now(UTC)
        self._orders = {
            one.order_id: _order(one, payments[one.order_id], now)
            for one in cast
            if one.known_order
        }

    def order(self, order_id: str, ticket: Ticket) -> Order | None:  # noqa: ARG002 - the protocol's
        """Return the order, None if there is none by this id."""
        return self._orders.get(order_id)


def parts(
    cast: list[Return], payments: Mapping[str, PaymentRef], client: DispatchClient
) -> Workflow:
    """Return what the merchant has set up."""
    return Workflow(
        book=PolicyBook([_POLICY]),
        orders=OrderTable(cast, payments),
        labels=labels.load("printable", {}),
        recipient=_RETURNS,
        notifier=TicketComments(client, Templates(shop="Demo Shop")),
    )


def _order(one: Return, payment: PaymentRef, now: datetime) -> Order:
    nothing = replace(one.paid, minor=0)
    delivered = now - timedelta(days=90 if one.way == "late" else 3)
    return Order(
        id=one.order_id,
        currency=one.paid.currency,
        lines=tuple(OrderLine(sku, sku, 1, price, nothing, nothing) for sku, price in one.items),
        placed_at=delivered - timedelta(days=4),
        shipping=nothing,
        delivered_at=delivered,
        payment=payment,
    )
