"""The play: 25 tickets walk their six steps, over HTTP, while the connector does its work.

The demo plays the customer, the agent and the warehouse. From the moment a ticket becomes
`refunded`, everything is the connector's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import func, select

from dispatch_returns.cli.demo.cast import Return
from dispatch_returns.cli.demo.stage import STEPS, Stage
from dispatch_returns.store import ledger
from dispatch_returns.store.ledger import Refund, State
from dispatch_returns.store.schema import inbox, outbox

ENDS = {"refunded": State.SUCCEEDED, "held": State.HELD, "failed": State.FAILED}

Tell = Callable[[str, int], None]
"""Told what is going on and how many returns are that far."""


def walk(stage: Stage, cast: list[Return], tell: Tell) -> dict[str, Return]:
    """Take every return from its request to `refunded`; return them by ticket id."""
    tickets = {_request(stage, one): one for one in cast}
    tell(STEPS[0], len(tickets))
    for step in STEPS[1:]:
        for done, (ticket_id, one) in enumerate(tickets.items(), start=1):
            stage.client.tickets.update(ticket_id, status=step, **_brought_by(step, one))
            tell(step, done)
    return tickets


def _request(stage: Stage, one: Return) -> str:
    fields: dict[str, Any] = {
        "order_id": one.order_id,
        "return_reason": "wrong_size",
        "items_to_return": ["SKU-001"],
        "original_order_total": one.paid.major,
    }
    if one.names_payment:
        fields["payment_intent"] = stage.payments[one.order_id].id
    ticket = stage.client.tickets.create(
        subject=f"Return Request - Order #{one.order_id}",
        customer_email=f"customer-{one.order_id}@example.com",
        status=STEPS[0],
        custom_fields=fields,
    )
    return ticket.id


def _brought_by(step: str, one: Return) -> dict[str, Any]:
    """Return what the warehouse writes on the ticket when the parcel is there."""
    if step != "item_received":
        return {}
    received = {"received_date": "2024-01-15", "condition": "good", "refund_amount": one.asked}
    return {"custom_fields": received}


def wait(stage: Stage, tickets: dict[str, Return], seconds: float, tell: Tell) -> None:
    """Wait until every refund has come to its end and every message is delivered."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        rows = rows_by_ticket(stage)
        ended = sum(
            ticket_id in rows and rows[ticket_id].state is ENDS[one.end]
            for ticket_id, one in tickets.items()
        )
        tell("paid back, held or failed", ended)
        if ended == len(tickets) and _is_quiet(stage):
            return
        time.sleep(0.1)


def rows_by_ticket(stage: Stage) -> dict[str, Refund]:
    """Return the ledger's rows by ticket id."""
    with stage.connector.store.read() as conn:
        return {row.ticket_id: row for row in ledger.newest(conn, limit=1000)}


def _is_quiet(stage: Stage) -> bool:
    """Whether nothing is on its way: no delivery, no event, no message."""
    state = stage.sandbox.state
    if not (state.deliveries.wait_until_settled(0) and state.stripe.events.wait_until_settled(0)):
        return False
    with stage.connector.store.read() as conn:
        waiting = sum(
            conn.execute(select(func.count()).where(queue.c.due_at.is_not(None))).scalar_one()
            for queue in (inbox, outbox)
        )
    return waiting == 0
