"""What every test of an order source needs: a ticket, and the documents of the shop systems."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from dispatch_returns.client import Ticket

DATA = Path(__file__).parents[1] / "data" / "orders"


def document(name: str) -> Any:
    """Return a shop system's answer, as its documentation writes it."""
    return json.loads((DATA / f"{name}.json").read_text(encoding="utf-8"))


def by_name(answer: Any) -> tuple[Any, Any]:
    """Return Shopify's two answers about an order asked for by its name: its id, then the order."""
    nodes = answer["data"]["orders"]["nodes"]
    return answer, {"data": {"order": nodes[0]}}


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


def query_cost(document: str) -> int:
    """Return a query's cost: each object one, as often as `first` allows."""
    total, factors = 0, [1]
    for field, brace in re.findall(r"([^{}]*)([{}])", document):
        if brace == "}":
            factors.pop()
            continue
        first = re.search(r"first: (\d+)[^{}]*$", field)
        factors.append(factors[-1] * (int(first[1]) if first else 1))
        total += factors[-1]
    return total
