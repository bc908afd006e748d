"""One return from its request to the money, and whether each thing was done once."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dispatch_sandbox
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns import label_records, receipts, records
from dispatch_returns.returns.label_records import LabelState
from dispatch_returns.store import NewEvent, Store, inbox
from dispatch_returns.testing import FakeAdapter
from tests.e2e.crash import merchant
from tests.e2e.crash.returns import client_of

TOLD = ["requested", "approved", "label_sent", "received", "refunded"]
PATH = ["eligibility_check", "approved", "label_sent", "item_received", "refunded"]
DECIDED = [
    "eligibility approve",
    "label sent",
    "receipt settled",
    "receipt accepted",
]


@dataclass
class Walk:
    """One return, from its request to the money, by workers that may die."""

    dispatch: dispatch_sandbox.Sandbox
    folder: Path
    database_url: str
    settings: dict[str, Any]
    ticket_id: str
    adapter: FakeAdapter | None = None
    ahead: float = 0.0
    died: int = 0
    events: int = field(default=0)

    def event(self, store: Store) -> None:
        """Let an event about the ticket arrive."""
        self.events += 1
        now, event_id = datetime.now(UTC), f"evt_{self.ticket_id}_{self.events}"
        envelope = {
            "id": event_id,
            "event": "ticket.updated",
            "brand_id": dispatch_sandbox.WORKSPACE,
            "data": {"id": self.ticket_id, "changes": ["status"]},
            "timestamp": now.isoformat(),
        }
        new = NewEvent(
            "dispatch",
            event_id,
            "ticket.updated",
            dispatch_sandbox.WORKSPACE,
            self.ticket_id,
            json.dumps(envelope).encode(),
            now,
        )
        store.write("inbox.accept", lambda conn: inbox.add(conn, new, now))

    def receive(self) -> None:
        """The warehouse's own system says that the parcel is there, as the guide does."""
        with client_of(self.dispatch) as client:
            fields = client.tickets.get(self.ticket_id).custom_fields
            client.tickets.update(
                self.ticket_id,
                status="item_received",
                custom_fields={**fields, "received_date": "2024-01-15", "condition": "good"},
            )

    def was_done_once(self, store: Store) -> None:
        """Look at everything that was made, bought, told and paid."""
        with store.read() as conn:
            (row,) = records.matching(conn, self.ticket_id, limit=2)
            (label,) = label_records.of_return(conn, row.id)
            (receipt,) = receipts.of_return(conn, row.id)
            (refund,) = ledger.newest(conn, limit=9, ticket_id=self.ticket_id)
            decided = [f"{it.kind} {it.outcome}" for it in records.decisions_of(conn, row.id)]
        assert merchant.lines(self.folder / "labels") == [label.id]
        assert label.state is LabelState.BOUGHT
        assert (receipt.ordinal, refund.ordinal, refund.state) == (1, 1, State.SUCCEEDED)
        assert [it for it in decided if not it.startswith("status ")] == DECIDED
        assert [it for it in decided if it.startswith("status ")] == [
            "status return_requested",
            *(f"status {step}" for step in PATH),
        ]
        told = [line.split()[0] for line in merchant.lines(self.folder / "notifications")]
        assert sorted(told) == sorted(TOLD)
        with client_of(self.dispatch) as client:
            assert client.tickets.get(self.ticket_id).status == "refunded"
            comments = client.comments.list(self.ticket_id)
            files = [it.filename for it in client.attachments.list(self.ticket_id)]
        assert files == [f"return-label-{row.number}-1.pdf"]
        assert self._bytes_at_dispatch() == 1
        path = [c.body.split()[-1] for c in comments if c.author_type == "SYSTEM"]
        assert path == PATH
        notes = Counter(c.body for c in comments if c.internal)
        assert set(notes.values()) == {1}

    def _bytes_at_dispatch(self) -> int:
        """How many files have bytes. What a worker announced before it died has none."""
        workspace, blobs = (
            self.dispatch.state.workspaces[dispatch_sandbox.WORKSPACE],
            self.dispatch.state.blobs,
        )
        ours = [it for it in workspace.attachments.values() if it["ticketId"] == self.ticket_id]
        return sum(blobs.size(it["id"]) is not None for it in ours)


def begin(dispatch: dispatch_sandbox.Sandbox, folder: Path, url: str, **fields: Any) -> Walk:
    with client_of(dispatch) as client:
        ticket = client.tickets.create(
            subject="Return Request - Order #1234",
            customer_email="jane@example.com",
            status="return_requested",
            custom_fields={"order_id": "1234", "items_to_return": ["SKU-001"], **fields},
        )
    settings = {
        "api_key": dispatch_sandbox.API_KEY,
        "workspace": dispatch_sandbox.WORKSPACE,
        "base_url": dispatch.api_url,
        "database_url": url,
    }
    return Walk(dispatch, folder, url, settings, ticket.id)
