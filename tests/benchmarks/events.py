"""Deliveries as Dispatch and as Stripe send them: events of 1.2 kB."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

SECRET = "whsec_c2VjcmV0X2Zvcl90aGVfYmVuY2htYXJrcw=="
SIZE = 1200


def body(number: int = 1) -> bytes:
    """A ``ticket.updated`` event of `SIZE` bytes, signed now; `number` makes its id."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    event: dict[str, Any] = {
        "id": f"evt_{number:024d}",
        "event": "ticket.updated",
        "brand_id": "br_9f2b6c1e7a",
        "data": {
            "id": f"tkt_{number:024d}",
            "ticketNumber": number,
            "title": "",
            "status": "refunded",
            "priority": "normal",
            "assigneeId": "usr_51c0a2d94f",
            "customerId": "cus_8842e0b7aa",
            "customerEmail": "jane@example.com",
            "customerName": "Jane Example",
            "updatedAt": now,
            "changes": ["status", "customFields"],
        },
        "timestamp": now,
    }
    return _filled(event, event["data"], "title")


def stripes() -> bytes:
    """A ``refund.updated`` event of `SIZE` bytes, as Stripe's documentation shows one."""
    refund: dict[str, Any] = {
        "id": "re_3NspgX2eZvKYlo2C0mR0rDZC",
        "object": "refund",
        "amount": 14900,
        "balance_transaction": "txn_3NspgX2eZvKYlo2C0Zr8ClJC",
        "charge": "ch_3NspgX2eZvKYlo2C0pFZ4d4v",
        "created": 1695332399,
        "currency": "usd",
        "description": "",
        "destination_details": {
            "card": {
                "reference": "123456789012",
                "reference_status": "available",
                "reference_type": "acquirer_reference_number",
                "type": "refund",
            },
            "type": "card",
        },
        "metadata": {"order_id": "1234", "ticket_id": "tkt_000000000000000000000001"},
        "payment_intent": "pi_3NspgX2eZvKYlo2C0mR0rDZC",
        "reason": "requested_by_customer",
        "receipt_number": None,
        "source_transfer_reversal": None,
        "status": "succeeded",
        "transfer_reversal": None,
    }
    event: dict[str, Any] = {
        "id": "evt_1NG8Du2eZvKYlo2CUI79vXWy",
        "object": "event",
        "api_version": "2025-09-30.clover",
        "created": 1695332400,
        "data": {"object": refund, "previous_attributes": {"status": "pending"}},
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "refund.updated",
    }
    return _filled(event, refund, "description")


def _filled(event: dict[str, Any], part: dict[str, Any], name: str) -> bytes:
    text = "Return Request - Order #1234 - wrong size, the parcel is on its way back. " * 12
    part[name] = text[: SIZE - len(json.dumps(event))]
    return json.dumps(event).encode()
