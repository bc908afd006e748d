"""What a label's document is made of: written down when it is bought, for it is bought once.

The customer's address is not among it: that is read from the order each time, and kept nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dispatch_returns.returns.label_records import LabelRow
from dispatch_returns.returns.labels.provider import Address, LabelRequest, PackingLine
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.records import Return

if TYPE_CHECKING:
    from dispatch_returns.client import Ticket


def document_of(
    row: Return, order: Order | None, recipient: Address, language: str
) -> dict[str, Any]:
    """Return what a label that is bought now is made of, as the store keeps it."""
    titles = {line.sku: line.title for line in order.lines} if order else {}
    return {
        "recipient": asdict(recipient),
        "order_id": row.order_id,
        "reason": row.reason,
        "lines": [{**item, "title": titles.get(item["sku"])} for item in row.items],
        "weight": _weight(row, order),
        "language": language,
    }


def request_of(
    row: Return, label: LabelRow, document: Mapping[str, Any], sender: Address | None
) -> LabelRequest:
    """Return the request of a label: the same document always gives the same one."""
    return LabelRequest(
        key=label.id,
        ticket_id=row.ticket_id,
        return_number=row.number,
        recipient=Address(**document["recipient"]),
        sender=sender,
        lines=tuple(PackingLine(**line) for line in document["lines"]),
        created_at=label.created_at,
        order_id=document["order_id"],
        reason=document["reason"],
        weight=document["weight"],
        send_by=label.send_by and label.send_by.date(),
        language=document["language"],
    )


def language_of(ticket: Ticket, shop: str) -> str:
    """Return the customer's language where the ticket says it, else the shop's."""
    said = ticket.custom_fields.get("language")
    return said if isinstance(said, str) and said else shop


def _weight(row: Return, order: Order | None) -> int | None:
    """Return the grams of what comes back, None where the weight of any of it is not known."""
    known = {line.sku: line.weight for line in order.lines} if order else {}
    total = 0
    for item in row.items:
        weight = known.get(item["sku"])
        if weight is None:
            return None
        total += weight * item["quantity"]
    return total or None
