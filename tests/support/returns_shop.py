"""A shop whose returns walk their steps: the workshop, with a merchant's policy and parts."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.returns import label_records as labels
from dispatch_returns.returns import receipts, records
from dispatch_returns.returns.label_records import LabelRow
from dispatch_returns.returns.receipts import Receipt
from dispatch_returns.returns.records import Decision, Return
from tests.support.desk import usd
from tests.support.returns import Merchant
from tests.support.workshop import EMAIL, Workshop


class ReturnsShop(Workshop):
    """A shop whose returns walk their steps, and its merchant."""

    def __init__(
        self,
        box: dispatch_sandbox.Sandbox,
        folder: Path,
        merchant: Merchant | None = None,
        parts: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        self.merchant = merchant or Merchant()
        # The books of a sandbox that many tests share are not compared: each has its own ledger.
        settings = {"reconcile_every": 0} | settings
        super().__init__(box, folder, workflow=self.merchant.parts(**(parts or {})), **settings)

    def ask_only(self, *items: str) -> Ticket:
        """Open a return whose event has not arrived yet."""
        return self.connector.returns.request(
            order_id="1234", items=items, reason="x", customer_email=EMAIL
        )

    def ask(self, *items: str, order_id: str = "1234", **fields: Any) -> Ticket:
        """Open a return as the guide does, and let its event arrive."""
        payment = f"pi_{order_id}"
        self.fake.add_payment(payment, usd("1000.00"))
        ticket = self.connector.returns.request(
            order_id=order_id,
            items=items or ["SKU-001"],
            reason="wrong_size",
            customer_email=EMAIL,
            original_order_total=Decimal("149.00"),
            fields={"payment_intent": payment} | fields,
        )
        self.opened_now(ticket)
        self.arrive(ticket)
        return ticket

    def arrive(self, ticket: Ticket, **ahead: float) -> None:
        """Let an event about the ticket arrive, and do all that follows."""
        self.event(ticket.id)
        self.work(**ahead)

    def put(self, ticket: Ticket, status: str, **fields: Any) -> None:
        """Have an agent set a status, and let the event arrive."""
        self.set(ticket, status, **fields)
        self.arrive(ticket)

    def status(self, ticket: Ticket) -> str:
        return self.now(ticket).status

    def row(self, ticket: Ticket) -> Return:
        return self.connector.returns.get(ticket.id)

    def decisions(self, ticket: Ticket) -> list[Decision]:
        with self.store.read() as conn:
            return records.decisions_of(conn, self.row(ticket).id)

    def story(self, ticket: Ticket) -> list[str]:
        """What was decided, in a few words each."""
        return [f"{it.kind} {it.outcome}" for it in self.decisions(ticket)]

    def receipts(self, ticket: Ticket) -> list[Receipt]:
        with self.store.read() as conn:
            return receipts.of_return(conn, self.row(ticket).id)

    def labels(self, ticket: Ticket) -> list[LabelRow]:
        with self.store.read() as conn:
            return labels.of_return(conn, self.row(ticket).id)

    def refunds(self, ticket: Ticket) -> list[Refund]:
        with self.store.read() as conn:
            found = ledger.newest(conn, limit=9, ticket_id=ticket.id)
        return sorted(found, key=lambda refund: refund.ordinal)

    def notes(self, ticket: Ticket) -> list[str]:
        return [it.body for it in self.comments(ticket) if it.internal]
