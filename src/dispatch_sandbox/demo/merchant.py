"""The merchant of the demo: a policy, orders, labels and notifications."""

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
from dispatch_sandbox.demo.scenarios import Scenario

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
            "why": "Without a reason, a person decides.",
        }
    ],
)
_RETURNS = labels.Address("Demo Shop, returns", "Dock 3", "Springfield", "12345", "US", state="IL")


class DemoOrders:
    """The merchant's own orders, as an order source."""

    name = "demo"

    def __init__(self, scenarios: list[Scenario], payments: Mapping[str, PaymentRef]) -> None:
        now = datetime.now(UTC)
        self._orders = {
            it.order_id: _order(it, payments[it.order_id], now)
            for it in scenarios
            if it.known_order
        }

    def order(self, order_id: str, ticket: Ticket) -> Order | None:  # noqa: ARG002 - the protocol's
        """Return the order, None if there is none with this id."""
        return self._orders.get(order_id)


def workflow(
    scenarios: list[Scenario], payments: Mapping[str, PaymentRef], client: DispatchClient
) -> Workflow:
    """Return what the merchant has set up."""
    return Workflow(
        book=PolicyBook([_POLICY]),
        orders=DemoOrders(scenarios, payments),
        labels=labels.load("printable", {}),
        recipient=_RETURNS,
        notifier=TicketComments(client, Templates(shop="Demo Shop")),
    )


def _order(scenario: Scenario, payment: PaymentRef, now: datetime) -> Order:
    nothing = replace(scenario.paid, minor=0)
    delivered = now - timedelta(days=90 if scenario.course == "late" else 3)
    return Order(
        id=scenario.order_id,
        currency=scenario.paid.currency,
        lines=tuple(
            OrderLine(sku, sku, 1, price, nothing, nothing) for sku, price in scenario.items
        ),
        placed_at=delivered - timedelta(days=4),
        shipping=nothing,
        delivered_at=delivered,
        payment=payment,
    )
