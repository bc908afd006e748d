"""Orders from Stripe: the PaymentIntent, with the order's lines in its metadata."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from dispatch_returns.errors import AdapterError, ErrorKind, OrderError
from dispatch_returns.refunds.adapters.stripe import StripeAdapter, StripeOptions
from dispatch_returns.refunds.adapters.stripe.objects import email_of
from dispatch_returns.refunds.order_ids import plain_id, same_order
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.orders.records import TIME_ZONE, order_of, records_of, zone_of

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket

LINES = "order_lines"
_RETRYABLE = frozenset(
    {
        ErrorKind.NOT_SENT,
        ErrorKind.UNKNOWN_OUTCOME,
        ErrorKind.RATE_LIMITED,
        ErrorKind.IN_PROGRESS,
    }
)
_NOTHING: Mapping[str, Any] = {}
_INTENT = re.compile(r"pi_[A-Za-z0-9_]{1,250}", re.ASCII)


class StripeOrderOptions(StripeOptions):
    """The options of `StripeOrders`: those of the refund adapter, and a time zone."""

    time_zone: str = TIME_ZONE


class StripeOrders:
    """An `OrderSource` on PaymentIntents with ``order_lines`` in their metadata: JSON, in one
    value or, as Stripe allows 500 characters, in ``order_lines_1``, ``order_lines_2`` and so on.

    The intent is the ticket's ``payment_intent``, or the one that a search finds by
    ``metadata["order_id"]``. It must belong to that order, and the order must not cost more than
    was paid with it. If the intent names no order, only the ticket connects the two, so the order
    counts as one from the ticket: it proves no owner, and no payment.
    """

    name = "stripe"
    options_model = StripeOrderOptions
    is_shop = False

    def __init__(self, adapter: StripeAdapter, time_zone: str = "UTC") -> None:
        self._adapter = adapter
        self._zone = zone_of(time_zone)

    @classmethod
    def from_options(cls, options: StripeOrderOptions) -> Self:
        """Build it from its options. Raises `ConfigurationError`."""
        return cls(StripeAdapter.from_options(options), options.time_zone)

    def close(self) -> None:
        """Close the adapter."""
        self._adapter.close()

    def order(self, order_id: str, ticket: Ticket) -> Order | None:
        """Return the order from Stripe; None without an intent, or without lines in its metadata.

        Raises `OrderError`.
        """
        try:
            intent = self._intent(order_id, ticket)
        except AdapterError as error:
            raise OrderError(error.message, retryable=error.kind in _RETRYABLE) from None
        if intent is None:
            return None
        metadata: Mapping[str, Any] = intent.get("metadata") or _NOTHING
        own_id = metadata.get("order_id")
        if own_id is not None and not same_order(own_id, order_id):
            raise OrderError(f"order {order_id}: the payment on the ticket is for another order")
        text = metadata.get(LINES)
        if not text:
            pieces = [metadata.get(f"{LINES}_{number}") for number in range(1, len(metadata) + 1)]
            text = "".join(map(str, itertools.takewhile(lambda it: it is not None, pieces)))
        if not text:
            return None
        lines = records_of(str(text))
        if lines is None:
            raise OrderError(
                f"order {order_id}: the metadata {LINES} is not a JSON list of objects"
            )
        shipping: Mapping[str, Any] = intent.get("shipping") or _NOTHING
        address: Mapping[str, Any] = shipping.get("address") or _NOTHING
        head: dict[str, Any] = {
            "placed_at": intent["created"],
            "country": address.get("country"),
            "ship_name": shipping.get("name"),
            "ship_street": address.get("line1"),
            "ship_street2": address.get("line2"),
            "ship_city": address.get("city"),
            "ship_postal_code": address.get("postal_code"),
            "ship_state": address.get("state"),
            "ship_phone": shipping.get("phone"),
            "customer_email": email_of(intent),
            "customer_id": intent.get("customer"),
            **metadata,
            "shipping": metadata.get("order_shipping"),
            "currency": intent["currency"],
            "payment_intent": intent["id"],
        }
        order = order_of(order_id, head, lines, self._zone)
        if order.total.minor > intent["amount_received"]:
            raise OrderError(
                f"order {order_id}: by the metadata it cost more than was paid with the intent"
            )
        return order if own_id is not None else replace(order, from_ticket=True)

    def _intent(self, order_id: str, ticket: Ticket) -> Mapping[str, Any] | None:
        named = ticket.custom_fields.get("payment_intent")
        if isinstance(named, str) and _INTENT.fullmatch(named):
            return self._adapter.intent(named)
        spellings = dict.fromkeys((plain_id(order_id), order_id))
        found = (self._adapter.find_payment(it) for it in spellings)
        ref = next((it for it in found if it is not None), None)
        return None if ref is None else self._adapter.intent(ref.id)
