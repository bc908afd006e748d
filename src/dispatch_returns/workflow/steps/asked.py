"""What a customer asks for, as the ticket says it: whoever wrote it, and however."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from dispatch_returns.workflow.policy.verdict import Item, ReturnRequest

if TYPE_CHECKING:
    from dispatch_returns.api import Ticket

_COUNTED = re.compile(r"(?P<before>[0-9]{1,4}) x (?P<a>.+)|(?P<b>.+) x (?P<after>[0-9]{1,4})")
_MOST = 9999


def request_of(ticket: Ticket, now: datetime) -> ReturnRequest:
    """Return what `ticket` asks for. `now` stands in for a ticket without a time."""
    fields = ticket.custom_fields
    return ReturnRequest(
        ticket_id=ticket.id,
        order_id=text_of(fields.get("order_id")),
        items=items_of(fields.get("items_to_return")),
        reason=text_of(fields.get("return_reason")),
        requested_at=ticket.created_at or now,
        customer=ticket.customer_email,
    )


def items_of(value: Any) -> tuple[Item, ...]:
    """Read the guide's list of SKUs: one that is named twice is meant twice.

    Portals and forms write other things too, and are understood where there is no doubt: a
    text with commas, ``2 x SKU-001``, and objects with ``sku`` and ``quantity``.
    """
    if isinstance(value, str):
        value = [part for part in re.split(r"[,;\n]", value) if part.strip()]
    counts = Counter[str]()
    for entry in _list(value):
        for sku, quantity in _entry(entry):
            counts[sku] += quantity
    return tuple(Item(sku, quantity) for sku, quantity in counts.items())


def as_field(items: Iterable[Item]) -> list[str]:
    """Return `items` as the guide writes them: each SKU as often as it comes back."""
    return [item.sku for item in items for _ in range(item.quantity)]


def _list(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list) else ()  # pyright: ignore[reportUnknownVariableType] - JSON


def _entry(entry: Any) -> list[tuple[str, int]]:
    if isinstance(entry, dict):
        said = cast("dict[str, Any]", entry)
        sku, quantity = text_of(said.get("sku")), said.get("quantity", 1)
        usable = isinstance(quantity, int) and 0 < quantity <= _MOST
        return [(sku, quantity)] if sku is not None and usable else []
    text = text_of(entry)
    if text is None:
        return []
    if found := _COUNTED.fullmatch(text):
        sku = (found["a"] or found["b"]).strip()
        return [(sku, int(found["before"] or found["after"]))]
    return [(text, 1)]


def text_of(value: Any) -> str | None:
    """Return a field's text, None where there is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)  # an order number typed into a number field
    return value.strip() or None if isinstance(value, str) else None
