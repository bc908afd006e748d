"""Orders from the ticket's own custom fields: for shops whose portal knows the order."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Self

from dispatch_returns.errors import OrderError
from dispatch_returns.plugins.options import PluginOptions
from dispatch_returns.refunds.order_ids import plain_id
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.orders.records import TIME_ZONE, order_of, records_of, zone_of

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
"""The ticket's name of a field of an order, where the order's own name would not be clear."""

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
"""The custom fields that an order is read from, with their types, in addition to those of every
return: ``order_id``, ``currency``, and those of the payment.
"""


class TicketOrderOptions(PluginOptions):
    """The options of `TicketOrders`."""

    time_zone: str = TIME_ZONE


class TicketOrders:
    """An `OrderSource` for tickets with ``order_lines``.

    Anyone who can edit the ticket can edit the order, so use it only if customers can't.
    ``time_zone`` applies to days, and to times without an offset.
    """

    name = "ticket"
    options_model = TicketOrderOptions
    is_shop = False

    def __init__(self, time_zone: str = "UTC") -> None:
        self._zone = zone_of(time_zone)

    @classmethod
    def from_options(cls, options: TicketOrderOptions) -> Self:
        """Build it from its options. Raises `ConfigurationError`."""
        return cls(options.time_zone)

    def order(self, order_id: str, ticket: Ticket) -> Order | None:
        """Return the order in the ticket's fields; None if it has no lines. Raises `OrderError`."""
        fields = ticket.custom_fields
        if fields.get(LINES) in (None, "", []):
            return None
        lines = records_of(fields[LINES])
        if lines is None:
            raise OrderError(f"order {order_id}: {LINES} is not a list of objects with sku, price")
        renamed = {name: fields.get(field) for name, field in _RENAMED.items()}
        # The author of the ticket wrote these too, so they do not prove who owns the order.
        head = {**fields, **renamed, "customer_email": None, "customer_id": None}
        head["order_id"] = plain_id(order_id)
        head["placed_at"] = head["placed_at"] or ticket.created_at
        return replace(order_of(order_id, head, lines, self._zone), from_ticket=True)
