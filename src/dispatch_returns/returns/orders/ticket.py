"""Orders from the ticket's own custom fields: for shops whose portal knows the order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from dispatch_returns.errors import OrderError
from dispatch_returns.refunds.order_ids import plain_id
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.orders.records import order_of, records_of, zone_of

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket
    from dispatch_returns.client.operations.fields import FieldType

LINES = "order_lines"
_RENAMED = {
    "placed_at": "order_date",
    "shipped_at": "shipped_date",
    "delivered_at": "delivered_date",
    "country": "order_country",
    "shipping": "order_shipping",
}
"""What a field of an order is called on a ticket, where the plain name would not be clear."""

FIELDS: tuple[tuple[str, FieldType], ...] = (
    (LINES, "array"),
    ("order_date", "date"),
    ("shipped_date", "date"),
    ("delivered_date", "date"),
    ("order_country", "text"),
    ("order_shipping", "number"),
    ("order_discount", "number"),
    ("prices_include_tax", "boolean"),
    ("ship_name", "text"),
    ("ship_street", "text"),
    ("ship_street2", "text"),
    ("ship_city", "text"),
    ("ship_postal_code", "text"),
    ("ship_state", "text"),
    ("ship_phone", "text"),
)
"""The custom fields that an order is read from, with their types, beside those that each return
has: ``order_id``, ``currency``, and the payment's.
"""


class TicketOrders:
    """An `OrderSource` for tickets that carry ``order_lines``. Whoever edits a ticket edits the
    order, so use it only where customers cannot. ``time_zone``: where days and times stand.
    """

    name = "ticket"
    is_shop = False

    def __init__(self, time_zone: str = "UTC") -> None:
        self._zone = zone_of(time_zone)

    @classmethod
    def from_settings(cls, options: Mapping[str, str]) -> Self:
        """Build it; ``time_zone`` is optional."""
        return cls(options.get("time_zone", "UTC"))

    def order(self, order_id: str, ticket: Ticket) -> Order | None:
        """Return the order that the ticket carries; None where it carries no lines."""
        fields = ticket.custom_fields
        if fields.get(LINES) in (None, "", []):
            return None
        lines = records_of(fields[LINES])
        if lines is None:
            raise OrderError(f"order {order_id}: {LINES} is not a list of objects with sku, price")
        renamed = {name: fields.get(field) for name, field in _RENAMED.items()}
        # Who wrote the ticket wrote this too, so it proves nothing of whose order it is.
        head = {**fields, **renamed, "customer_email": None, "customer_id": None}
        head["order_id"] = plain_id(order_id)
        head["placed_at"] = head["placed_at"] or ticket.created_at
        return replace(order_of(order_id, head, lines, self._zone), from_ticket=True)
