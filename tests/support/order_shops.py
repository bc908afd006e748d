"""What every test of an order source needs: a ticket, and the documents of the shop systems."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from dispatch_returns.client import Ticket

DATA = Path(__file__).parents[1] / "data" / "orders"


def document(name: str) -> Any:
    """Return a shop system's answer, as its documentation writes it."""
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


def ticket(**fields: Any) -> Ticket:
    """A ticket with these custom fields."""
    return Ticket.model_validate(
        {
            "id": "tkt_1",
            "workspace_id": "ws_1",
            "subject": "Return",
            "status": "return_requested",
            "customer_email": "jane@example.com",
            "created_at": "2026-01-20T08:00:00Z",
            "custom_fields": fields,
        }
    )
