"""What was bought, in one shape, whichever shop system says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from dispatch_returns.money import Money
from dispatch_returns.refunds.adapter import PaymentRef

if TYPE_CHECKING:
    from dispatch_returns.api import Ticket


@dataclass(frozen=True, slots=True)
class OrderLine:
    """One line of an order, as it was charged.

    ``price`` is of one piece, as listed; ``tax`` and ``discount`` are of the whole line.
    ``id`` is unique in its order; two lines may have the same SKU.
    """

    id: str
    sku: str
    quantity: int
    price: Money
    tax: Money
    discount: Money
    title: str | None = None
    category: str | None = None
    final_sale: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """An order: what it held, when it went where, and which payment it was paid with.

    ``shipping`` is what the customer paid for it, tax included. ``prices_include_tax`` says
    whether ``price`` and ``discount`` of the lines do. ``country`` is where it went (ISO
    3166-1, two letters). All times are aware.
    """

    id: str
    currency: str
    lines: tuple[OrderLine, ...]
    placed_at: datetime
    shipping: Money
    shipped_at: datetime | None = None
    delivered_at: datetime | None = None
    prices_include_tax: bool = False
    country: str | None = None
    customer: str | None = field(default=None, repr=False)
    payment: PaymentRef | None = None


class OrderSource(Protocol):
    """Where orders come from. Must be safe to call from several threads."""

    @property
    def name(self) -> str:
        """A word for people and records, such as ``shopify``."""
        ...

    def order(self, order_id: str, ticket: Ticket) -> Order | None:
        """Return the order as it is now, None if there is no such order.

        Raises `OrderError`: ``retryable`` when the shop system cannot say now.
        """
        ...
