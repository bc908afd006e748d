"""A return that became refunded, where it is worked on, and whether it was paid once."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import dispatch_sandbox
from dispatch_returns.client import DispatchClient, JsonValue
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import NewEvent, Store, inbox
from tests.support.live import go_live
from tests.support.webhooks import SECRET


@dataclass(frozen=True)
class Processor:
    """An independent server that remembers what it paid."""

    name: str
    url: str
    key: str
    pay: Callable[[], dict[str, str]]
    """Takes 500.00 USD, enough to pay 149.00 back three times, and names it as a ticket does."""
    refunds: Callable[[dict[str, str]], list[dict[str, Any]]]
    adapter: str = "stripe"
    options: Mapping[str, str] = field(default_factory=dict[str, str])
    """The adapter's options where they are not a key and an address."""
    ends_as: State = State.SUCCEEDED
    """Where a refund is that was made, before any webhook."""


@dataclass(frozen=True)
class Place:
    """Where a return is worked on: the store's URL, Dispatch, and the processor."""

    database_url: str
    dispatch: dispatch_sandbox.Sandbox
    processor: Processor


@dataclass(frozen=True)
class Return:
    """One return under test."""

    ticket_id: str
    payment: dict[str, str]
    settings: dict[str, Any]

    def was_paid_once(self, place: Place) -> None:
        """Look at the processor, the ledger and the ticket."""
        (refund,) = place.processor.refunds(self.payment)
        assert refund["amount"] == 14900
        with Store.open(self.settings["database_url"]) as store, store.read() as conn:
            (row,) = [r for r in ledger.newest(conn, limit=100) if r.ticket_id == self.ticket_id]
            (event,) = inbox.newest(conn, limit=10, ticket_id=self.ticket_id)
        assert (row.state, row.processor_id) == (place.processor.ends_as, refund["id"])
        assert event.state is inbox.EventState.DONE
        with client_of(place.dispatch) as client:
            ticket = client.tickets.get(self.ticket_id)
            ours = [
                c for c in client.comments.list(self.ticket_id) if "dispatch_returns" in c.metadata
            ]
        assert ticket.custom_fields["refund_id"] == refund["id"]
        assert ticket.custom_fields["refund_status"] == place.processor.ends_as
        assert len(ours) == 1


def a_return_that_became_refunded(place: Place) -> Return:
    """A return whose event is in the store."""
    returned = a_return(place)
    event = _event(returned.ticket_id)
    with Store.open(place.database_url) as store:
        store.write("inbox.accept", lambda conn: inbox.add(conn, event, datetime.now(UTC)))
    return returned


def a_return(place: Place) -> Return:
    """A return whose ticket is refunded, and nobody has been told."""
    payment = place.processor.pay()
    fields: dict[str, JsonValue] = {
        "order_id": "1234",
        "received_date": "2024-01-15",
        "condition": "good",
        "refund_amount": Decimal("149.00"),
        **payment,
    }
    with client_of(place.dispatch) as client:
        go_live(place.database_url, client)
        ticket = client.tickets.create(
            subject="Return Request - Order #1234", status="refunded", custom_fields=fields
        )
    settings = {
        "api_key": dispatch_sandbox.API_KEY,
        "workspace": dispatch_sandbox.WORKSPACE,
        "base_url": place.dispatch.api_url,
        "database_url": place.database_url,
        "adapters": (place.processor.adapter,),
        "adapter_options": {
            place.processor.adapter: dict(place.processor.options)
            or {"api_key": place.processor.key, "base_url": place.processor.url}
        },
        "webhook_secrets": [SECRET],
    }
    return Return(ticket.id, payment, settings)


def event_body(ticket_id: str) -> bytes:
    """What Dispatch sends when the ticket becomes refunded."""
    envelope = {
        "id": f"evt_{ticket_id}",
        "event": "ticket.updated",
        "brand_id": dispatch_sandbox.WORKSPACE,
        "data": {"id": ticket_id, "status": "refunded", "changes": ["status"]},
        "timestamp": datetime.now(UTC).isoformat(),
    }
    return json.dumps(envelope).encode()


def _event(ticket_id: str) -> NewEvent:
    now, body = datetime.now(UTC), event_body(ticket_id)
    workspace = dispatch_sandbox.WORKSPACE
    return NewEvent(
        "dispatch", f"evt_{ticket_id}", "ticket.updated", workspace, ticket_id, body, now
    )


def client_of(dispatch: dispatch_sandbox.Sandbox) -> DispatchClient:
    """A client for the stand-in's one workspace."""
    return DispatchClient(
        dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=dispatch.api_url
    )
