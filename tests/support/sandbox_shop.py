"""A shop in the sandbox that has something to look at."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import dispatch_sandbox
from dispatch_returns import DispatchClient

STATUSES = (
    ("return_requested", "Return requested"),
    ("eligibility_check", "Eligibility check"),
    ("approved", "Approved"),
    ("label_sent", "Label sent"),
    ("item_received", "Item received"),
    ("refunded", "Refunded"),
)


@dataclass(frozen=True)
class Shop:
    box: dispatch_sandbox.Sandbox
    ticket_id: str

    @property
    def page(self) -> str:
        """The address of the workspace's page."""
        return f"{self.box.url}/page/{dispatch_sandbox.WORKSPACE}"

    @property
    def ticket(self) -> str:
        """The address of the ticket's page."""
        return f"{self.page}/tickets/{self.ticket_id}"


def fill(box: dispatch_sandbox.Sandbox, hook: str) -> Shop:
    """Make statuses, a webhook and a return in the middle of its way."""
    with DispatchClient(
        dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
    ) as dispatch:
        for key, name in STATUSES:
            dispatch.statuses.create(key=key, name=name)
        dispatch.webhooks.create(url=hook, events=["*"])
        ticket = dispatch.tickets.create(
            subject="Return Request - Order #1234",
            body="The shoes are a size too small.",
            customer_email="jane@example.com",
            customer_name="Jane Doe",
            status="return_requested",
            custom_fields={
                "order_id": "1234",
                "return_reason": "wrong_size",
                "items_to_return": ["SKU-001"],
                "original_order_total": Decimal("149.00"),
            },
        )
        dispatch.tickets.update(ticket.id, status="approved")
        dispatch.comments.create(
            ticket.id,
            body="Your return is approved. The label comes by e-mail.",
            author_name="Support",
        )
        dispatch.tickets.update(ticket.id, status="label_sent")
        dispatch.comments.create(
            ticket.id, body="Second return this month: look at the box.", internal=True
        )
    assert box.state.deliveries.wait_until_settled(10)
    return Shop(box, ticket.id)
