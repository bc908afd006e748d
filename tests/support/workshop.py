"""The whole workflow on a real Dispatch stand-in, with an in-memory processor."""

from __future__ import annotations

import json
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from sqlalchemy import Connection

import dispatch_sandbox
from dispatch_returns.client import Comment, DispatchClient, Ticket
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.settings import Settings
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.processors import OneOrMore
from dispatch_returns.returns.steps.workflow import Workflow
from dispatch_returns.store import NewEvent, Store, inbox, outbox
from dispatch_returns.store.inbox import StoredEvent
from dispatch_returns.store.outbox import Message
from dispatch_returns.testing import FakeAdapter
from tests.support.desk import Clock, usd
from tests.support.stores import open_store

SECRET = "whsec_workshop"
EMAIL = "jane@example.com"
_numbers = count(1)


class Workshop:
    """A connector for one workspace, a processor, and the tickets of one test."""

    def __init__(
        self,
        box: dispatch_sandbox.Sandbox,
        folder: Path,
        *,
        fake: FakeAdapter | None = None,
        adapters: OneOrMore | None = None,
        store: Store | None = None,
        workflow: Workflow | None = None,
        workspace: str = dispatch_sandbox.WORKSPACE,
        live: bool = True,
        **settings: Any,
    ) -> None:
        self.box = box
        self.clock = Clock()
        self.fake = fake or FakeAdapter({}, clock=self.clock)
        self.store: Store = store or open_store(folder, durable=False)
        self.client = DispatchClient(
            dispatch_sandbox.API_KEY,
            workspace,
            base_url=box.api_url,
            max_retries=0,
            style=settings.get("style", "workspaces"),
        )
        self.settings = Settings(
            api_key=SecretStr(dispatch_sandbox.API_KEY),
            workspace=workspace,
            webhook_secrets=SECRET,  # type: ignore[arg-type]
            base_url=box.api_url,
            **settings,
        )
        self.connector = Connector(
            self.settings,
            client=self.client,
            store=self.store,
            adapters=self.fake if adapters is None else adapters,
            workflow=workflow,
            clock=self.clock,
        )
        # As after the workers' start: what goes wrong in a test is meant for what follows.
        if self.connector.installation.ready() and live:
            self.connector.go_live.complete()

    def close(self) -> None:
        self.box.state.faults.clear()
        self.connector.close()

    # What happens at Dispatch.

    def ticket(self, status: str = "refunded", **fields: Any) -> Ticket:
        """Open a ticket of a complete return; `fields` are put over it, None takes one away."""
        payment = f"pi_{next(_numbers)}"
        self.fake.add_payment(payment, usd("149.00"))
        given: dict[str, Any] = {
            "order_id": "1234",
            "payment_intent": payment,
            "received_date": "2024-01-15",
            "refund_amount": Decimal("149.00"),
        } | fields
        ticket = self.client.tickets.create(
            subject="Return",
            status=status,
            customer_email=EMAIL,
            custom_fields={name: it for name, it in given.items() if it is not None},
        )
        self.opened_now(ticket)
        return ticket

    def opened_now(self, ticket: Ticket) -> None:
        """Let a ticket be opened by the test's clock, as the processor's refunds are made by it."""
        opened = self.clock().isoformat()
        workspace = self.box.state.workspaces[ticket.workspace_id]
        # It is listed by that time, so the list must learn of it.
        workspace.ticket_list.change(workspace.tickets[ticket.id], {"createdAt": opened})

    def set(self, ticket: Ticket, status: str | None = None, **fields: Any) -> None:
        """Change a ticket as an agent does."""
        changes: dict[str, Any] = {"custom_fields": fields} if fields else {}
        if status is not None:
            changes["status"] = status
        self.client.tickets.update(ticket.id, **changes)

    def now(self, ticket: Ticket) -> Ticket:
        """The ticket as it is now."""
        return self.client.tickets.get(ticket.id)

    def comments(self, ticket: Ticket) -> list[Comment]:
        """The comments of ours, without the ones that Dispatch writes of a change of status."""
        found = self.client.comments.list(ticket.id)
        return [it for it in found if it.author_type != "SYSTEM"]

    def fault(self, action: str = "status", **given: Any) -> None:
        """Let a call to the API go wrong."""
        self.box.state.faults.add(dispatch_sandbox.FaultRule("api", action, **given))

    # What arrives.

    def event(self, ticket_id: str, *, kind: str = "ticket.updated", **changes: Any) -> str:
        """Put an event about a ticket into the inbox; return its id."""
        event_id = f"evt_{next(_numbers)}"
        data: dict[str, Any] = {"id": ticket_id, "changes": ["status"]}
        if "comment" in kind:
            data = {"ticketId": ticket_id, "comment": {"id": "cmt_1", "body": "Hello."}}
        envelope = {
            "id": event_id,
            "event": kind,
            "brand_id": dispatch_sandbox.WORKSPACE,
            "data": data,
            "timestamp": self.clock().isoformat(),
        } | changes
        body = json.dumps(envelope).encode()
        workspace = envelope["brand_id"]
        new = NewEvent("dispatch", event_id, kind, workspace, ticket_id, body, None)
        self.store.write("accept", lambda conn: inbox.add(conn, new, self.clock()))
        return event_id

    def news(self, processor_id: str, kind: str = "refund.updated") -> str:
        """Let the processor's webhook tell how a refund stands now; return the event's id."""
        return self.deliver(*self.fake.event(processor_id, kind))

    def deliver(self, body: bytes, headers: dict[str, str]) -> str:
        """Let a webhook of the processor's arrive; return the event's id."""
        answer = self.connector.receivers["fake"].receive("POST", headers, body)
        assert answer.status == 200
        return str(json.loads(body)["id"])

    def work(self, **ahead: float) -> int:
        """Do everything that is due, after so many minutes, hours ..."""
        self.clock.turn(**ahead)
        return self.connector.work_off()

    def run(self, ticket: Ticket) -> None:
        """Let an event about a ticket arrive, and do all that follows."""
        self.event(ticket.id)
        self.work()

    # What is in the store.

    def found(self, event_id: str, source: str = "dispatch") -> StoredEvent:
        with self.store.read() as conn:
            event = inbox.find(conn, source, event_id)
        assert event is not None
        return event

    def refund(self, ticket: Ticket) -> Refund | None:
        with self.store.read() as conn:
            return next(iter(ledger.newest(conn, limit=1, ticket_id=ticket.id)), None)

    def messages(self) -> list[Message]:
        def read(conn: Connection) -> list[Message]:
            rows = conn.exec_driver_sql("SELECT DISTINCT refund_id FROM outbox").scalars().all()
            return [m for row in rows for m in outbox.of_refund(conn, row)]

        with self.store.read() as conn:
            return read(conn)
