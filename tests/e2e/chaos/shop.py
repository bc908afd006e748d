"""The world around the system under test: tickets at Dispatch, charges at the processor."""

from __future__ import annotations

import contextlib
import json
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import httpx

import dispatch_sandbox
from dispatch_returns import webhooks
from dispatch_returns.client import DispatchClient
from dispatch_returns.errors import OutcomeUnknownError
from dispatch_sandbox import Sandbox
from tests.e2e.chaos.plan import Delivery, Kind, Plan, PlannedReturn
from tests.support.live import go_live

SECRET = "whsec_chaos"
_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Charge:
    """A payment at the processor. ``charged`` is in minor units."""

    payment_intent: str
    charged: int


class Shop:
    """Makes tickets and charges, sets tickets to `refunded`, and signs what is said of them."""

    def __init__(self, box: Sandbox, plan: Plan) -> None:
        self._plan = plan
        self._client = DispatchClient(
            dispatch_sandbox.API_KEY,
            dispatch_sandbox.WORKSPACE,
            base_url=box.api_url,
            max_retries=8,
        )
        self._stripe = httpx.Client(
            base_url=box.url, auth=(dispatch_sandbox.stripe.API_KEY, ""), timeout=30
        )
        self._refunded: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)
        self._early = {it.number for it in plan.returns if it.kind is Kind.EARLY}
        self.charges: dict[int, Charge] = {}
        self.tickets: dict[int, str] = {}

    def open(self, database_url: str) -> None:
        """Go live, then make every charge and every ticket."""
        for key in ("refunded", "needs_review", "item_received"):
            self._client.statuses.create(key=key, name=key)
        go_live(database_url, self._client)
        charged = {it.payment: it.charged for it in self._plan.returns}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            self.charges = dict(zip(charged, pool.map(self._charge, charged.values()), strict=True))
            tickets = pool.map(self._ticket, self._plan.returns)
            self.tickets = {it.number: t for it, t in zip(self._plan.returns, tickets, strict=True)}

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
        self._stripe.close()

    def body(self, delivery: Delivery) -> tuple[bytes, dict[str, str]]:
        """Return a delivery's body and headers; a final one makes its ticket `refunded` first."""
        ticket_id = self.tickets[delivery.number]
        if delivery.final:
            self._make_refunded(delivery.number)
        envelope = {
            "id": delivery.event_id,
            "event": "ticket.updated",
            "brand_id": dispatch_sandbox.WORKSPACE,
            "data": {"id": ticket_id, "changes": ["status"]},
            "timestamp": datetime.now(UTC).isoformat(),
        }
        body = json.dumps(envelope).encode()
        headers = {"X-Dispatch-Signature": webhooks.sign(body, SECRET)}
        return body, headers | {"Content-Type": "application/json"}

    def refunds(self) -> Iterator[Mapping[str, Any]]:
        """Every refund that the processor has, as it lists them."""
        after: dict[str, str] = {}
        while True:
            answer = self._stripe.get("/v1/refunds", params={"limit": "100"} | after)
            page = answer.raise_for_status().json()
            yield from page["data"]
            if not page["has_more"]:
                return
            after = {"starting_after": page["data"][-1]["id"]}

    def fields(self) -> dict[str, dict[str, Any]]:
        """The custom fields of each ticket."""
        return {ticket.id: ticket.custom_fields for ticket in self._client.tickets.list()}

    def comments(self, ticket_id: str) -> int:
        """How many comments for the customer a ticket has from us."""
        found = self._client.comments.list(ticket_id)
        return sum("dispatch_returns" in it.metadata and not it.internal for it in found)

    def _make_refunded(self, number: int) -> None:
        if number not in self._early:
            return
        with self._refunded[number]:
            while number in self._early:
                # A fault may answer it, and setting the same status again changes nothing.
                with contextlib.suppress(OutcomeUnknownError):
                    self._client.tickets.update(self.tickets[number], status="refunded")
                    self._early.discard(number)

    def _charge(self, charged: int) -> Charge:
        form = {
            "amount": charged,
            "currency": "usd",
            "confirm": "true",
            "payment_method": "pm_card_visa",
        }
        made = self._stripe.post("/v1/payment_intents", data=form).raise_for_status().json()
        return Charge(made["id"], charged)

    def _ticket(self, planned: PlannedReturn) -> str:
        fields: dict[str, Any] = {
            "order_id": str(planned.number),
            "payment_intent": self.charges[planned.payment].payment_intent,
            "refund_amount": Decimal(planned.amount).scaleb(-2),
        }
        if planned.kind is not Kind.UNPAYABLE:
            fields["received_date"] = "2024-01-15"
        ticket = self._client.tickets.create(
            subject=f"Return Request - Order #{planned.number}",
            status="item_received" if planned.kind is Kind.EARLY else "refunded",
            custom_fields=fields,
        )
        return ticket.id
