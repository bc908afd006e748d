"""Stripe's late news over real HTTP: from the stand-in's signed webhook to the ticket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import select

import dispatch_sandbox
from dispatch_returns import Connector, Context, RefundEvent, Settings, webhooks
from dispatch_returns.client import DispatchClient, Ticket
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.retry_schedule import RetrySchedule
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import inbox
from dispatch_returns.store.schema import outbox
from dispatch_sandbox.server import serving
from dispatch_sandbox.stripe import API_KEY, Fault
from tests.support import stores
from tests.support.waiting import wait_until

SECRET = "whsec_late"
PATIENCE = 15.0


@dataclass
class Shop:
    """A merchant's web application, and what it is connected to."""

    box: dispatch_sandbox.Sandbox
    client: DispatchClient
    connector: Connector
    stripe: httpx.Client
    url: str

    def pay(self, minor: int = 14900) -> str:
        form = {
            "amount": str(minor),
            "currency": "usd",
            "confirm": "true",
            "payment_method": "pm_card_visa",
        }
        made = self.stripe.post("/v1/payment_intents", data=form).raise_for_status().json()
        return str(made["id"])

    def refund_in_dashboard(self, payment: str, minor: int) -> str:
        form = {"payment_intent": payment, "amount": str(minor)}
        return str(self.stripe.post("/v1/refunds", data=form).raise_for_status().json()["id"])

    def refunds(self, payment: str) -> list[dict[str, Any]]:
        listed = self.stripe.get("/v1/refunds", params={"payment_intent": payment})
        return list(listed.raise_for_status().json()["data"])

    def ticket(self, payment: str, *, status: str = "refunded", **fields: Any) -> Ticket:
        values: dict[str, Any] = {
            "order_id": "1234",
            "received_date": "2026-01-15",
            "refund_amount": Decimal("149.00"),
            "payment_intent": payment,
        } | fields
        values = {name: value for name, value in values.items() if value is not None}
        return self.client.tickets.create(subject="Return", status=status, custom_fields=values)

    def row(self, ticket: Ticket) -> Refund | None:
        with self.connector.store.read() as conn:
            return next(iter(ledger.newest(conn, limit=1, ticket_id=ticket.id)), None)

    def wait_for(self, ticket: Ticket, state: State) -> Refund:
        def there() -> bool:
            row = self.row(ticket)
            return row is not None and row.state is state

        wait_until(there, PATIENCE)
        row = self.row(ticket)
        assert row is not None
        return row

    def wait_for_quiet(self) -> None:
        """Wait until every event of Stripe's has arrived, and all that follows was told."""
        assert self.box.state.stripe.events.wait_until_settled(PATIENCE)

        def none_waits() -> bool:
            with self.connector.store.read() as conn:
                untold = select(outbox.c.id).where(outbox.c.due_at.is_not(None)).limit(1)
                waits = inbox.oldest_waiting(conn) or conn.execute(untold).scalar()
                return waits is None

        wait_until(none_waits, PATIENCE)


@pytest.fixture(params=stores.KINDS)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shop]:
    with (
        stores.opened(request.param, tmp_path) as store,
        dispatch_sandbox.running() as box,
        DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client,
        httpx.Client(base_url=box.url, auth=(API_KEY, ""), trust_env=False) as stripe,
    ):
        for key in ("refunded", "needs_review"):
            client.statuses.create(key=key, name=key)
        settings = Settings(
            api_key=SecretStr(dispatch_sandbox.API_KEY),
            workspace=dispatch_sandbox.WORKSPACE,
            webhook_secrets=(SecretStr(SECRET),),
            base_url=box.api_url,
            adapter_options={
                "stripe": {"api_key": API_KEY, "base_url": box.url, "webhook_secret": SECRET}
            },
        )
        retry_schedule = RetrySchedule(first_retry=timedelta(milliseconds=100))
        with Connector(settings, store=store, retry_schedule=retry_schedule) as connector:
            connector.go_live.complete()
            app = FastAPI(lifespan=connector.lifespan)
            app.include_router(webhooks.fastapi.router(connector), prefix="/webhooks")
            with serving(app) as url:
                client.webhooks.create(
                    url=f"{url}/webhooks/dispatch",
                    events=["ticket.created", "ticket.updated"],
                    secret=SECRET,
                )
                box.state.stripe.events.listen(f"{url}/webhooks/stripe", SECRET)
                yield Shop(box, client, connector, stripe, url)


def test_a_late_failure_reaches_the_ticket_and_the_merchants_code(shop: Shop) -> None:
    heard: list[RefundEvent] = []

    @shop.connector.on("refund.failed")
    def tell(event: RefundEvent, context: Context) -> None:
        heard.append(event)

    payment = shop.pay()
    fault = Fault(
        kind="fail_later",
        seconds=0.5,
        failure_reason="expired_or_canceled_card",
        payment_intent=payment,
    )
    shop.box.state.stripe.faults.add(fault)
    ticket = shop.ticket(payment)
    failed = shop.wait_for(ticket, State.FAILED)
    assert failed.failure_reason == "expired_or_canceled_card"
    wait_until(lambda: bool(heard), PATIENCE)
    wait_until(lambda: shop.client.tickets.get(ticket.id).status == "needs_review", PATIENCE)
    shop.wait_for_quiet()
    assert [event.refund_id for event in heard] == [failed.id]
    comments = list(shop.client.comments.list(ticket.id))
    notes = [it for it in comments if it.internal and it.metadata]
    assert len(notes) == 1, "five events tell of it, and one note"
    assert len(shop.refunds(payment)) == 1


def test_events_that_beat_our_own_commit_are_not_lost(shop: Shop) -> None:
    """Stripe acts, sends its events and fails the refund, and only then answers our call."""
    payment = shop.pay()
    slow = Fault(kind="slow", seconds=1.0, when="after", payment_intent=payment)
    fails = Fault(kind="fail_later", seconds=0.2, payment_intent=payment)
    for fault in (slow, fails):
        shop.box.state.stripe.faults.add(fault)
    ticket = shop.ticket(payment)
    sending = shop.wait_for(ticket, State.SENDING)
    assert shop.box.state.stripe.events.wait_until_settled(PATIENCE)
    time.sleep(0.3)  # the events are there, and the call has not returned
    row = shop.row(ticket)
    assert row is not None
    assert (row.id, row.state) == (sending.id, State.SENDING)
    shop.wait_for(ticket, State.FAILED)
    shop.wait_for_quiet()
    assert len(shop.refunds(payment)) == 1


def test_a_refund_made_in_the_dashboard_settles_the_ticket(shop: Shop) -> None:
    payment = shop.pay()
    ticket = shop.ticket(payment, received_date=None)
    shop.wait_for(ticket, State.HELD)
    made = shop.refund_in_dashboard(payment, 14900)
    adopted = shop.wait_for(ticket, State.SUCCEEDED)
    assert (adopted.processor_id, adopted.adopted) == (made, True)
    assert [it["id"] for it in shop.refunds(payment)] == [made]


def test_a_part_refunded_in_the_dashboard_is_not_paid_a_second_time(shop: Shop) -> None:
    payment = shop.pay(50000)
    # Asked for first: a refund from before the request was for something else.
    ticket = shop.ticket(payment, status="open")
    made = shop.refund_in_dashboard(payment, 14900)
    shop.wait_for_quiet()
    shop.client.tickets.update(ticket.id, status="refunded")
    adopted = shop.wait_for(ticket, State.SUCCEEDED)
    assert adopted.processor_id == made
    assert len(shop.refunds(payment)) == 1


def test_the_tracing_number_comes_to_the_ticket(shop: Shop) -> None:
    ticket = shop.ticket(shop.pay())
    shop.wait_for(ticket, State.SUCCEEDED)
    shop.box.state.stripe.advance(61)
    wait_until(
        lambda: bool(shop.client.tickets.get(ticket.id).custom_fields.get("refund_arn")), PATIENCE
    )


def test_an_old_api_versions_events_are_enough(shop: Shop) -> None:
    """Only `charge.refunded`, which shows no refunds, and the older name of an update."""
    events = shop.box.state.stripe.events
    events.forget()
    old = ["charge.refunded", "charge.refund.updated"]
    events.listen(f"{shop.url}/webhooks/stripe", SECRET, old)
    payment = shop.pay()
    ticket = shop.ticket(payment, received_date=None)
    shop.wait_for(ticket, State.HELD)
    shop.box.state.stripe.faults.add(Fault(kind="fail_later", seconds=1.0, payment_intent=payment))
    shop.refund_in_dashboard(payment, 14900)
    shop.wait_for(ticket, State.SUCCEEDED)
    shop.wait_for(ticket, State.FAILED)
