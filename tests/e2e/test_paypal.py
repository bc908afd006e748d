"""A merchant with three variables for PayPal: from the ticket to the refund, and what follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from fastapi import FastAPI
from pydantic import SecretStr

import dispatch_sandbox
from dispatch_returns import Connector, Settings, webhooks
from dispatch_returns.client import DispatchClient, JsonValue, Ticket
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.guard import Reason
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.retry_schedule import RetrySchedule
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import inbox
from dispatch_sandbox.paypal import CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID, PayPalStandIn
from dispatch_sandbox.paypal.signing import key_pair
from dispatch_sandbox.server import serving
from tests.support import stores
from tests.support.waiting import wait_until
from tests.support.webhooks import SECRET

PATIENCE = 15.0


@dataclass
class Shop:
    """A merchant's web application, and PayPal."""

    client: DispatchClient
    connector: Connector
    paypal: PayPalStandIn

    def ticket(self, capture: str, amount: str = "149.00") -> Ticket:
        fields: dict[str, JsonValue] = {
            "order_id": "1234",
            "received_date": "2026-01-15",
            "refund_amount": Decimal(amount),
            "payment_reference": capture,
        }
        return self.client.tickets.create(subject="Return", status="refunded", custom_fields=fields)

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

    def is_quiet(self) -> bool:
        """Whether no event waits."""
        with self.connector.store.read() as conn:
            return inbox.oldest_waiting(conn) is None

    def heard(self) -> list[str]:
        """The types of PayPal's events that are in the inbox, oldest first."""
        with self.connector.store.read() as conn:
            found = inbox.newest(conn, limit=1000)
        return [it.type for it in reversed(found) if it.source == "paypal"]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(key_pair().roots)
    with (
        stores.opened("sqlite", tmp_path) as store,
        dispatch_sandbox.running() as box,
        DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client,
    ):
        for key in ("refunded", "needs_review"):
            client.statuses.create(key=key, name=key)
        settings = Settings(
            api_key=SecretStr(dispatch_sandbox.API_KEY),
            workspace=dispatch_sandbox.WORKSPACE,
            webhook_secrets=(SecretStr(SECRET),),
            base_url=box.api_url,
            adapters=("paypal",),
            adapter_options={
                "paypal": {
                    "client_id": CLIENT_ID,
                    "client_secret": CLIENT_SECRET,
                    "webhook_id": WEBHOOK_ID,
                    # PayPal itself needs neither.
                    "base_url": box.state.paypal.base_url,
                    "webhook_roots": str(roots),
                }
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
                box.state.paypal.listen(f"{url}/webhooks/paypal")
                yield Shop(client, connector, box.state.paypal)


def test_a_ticket_is_paid_back_once_and_a_late_failure_reaches_it(shop: Shop) -> None:
    capture = shop.paypal.pay("149.00")
    shop.paypal.fail("fail_later", payment=capture, seconds=3600)
    shop.paypal.fail("webhook_doubled", payment=capture, times=2)
    ticket = shop.ticket(capture)
    pending = shop.wait_for(ticket, State.PENDING)
    shop.paypal.advance(3600)
    failed = shop.wait_for(ticket, State.FAILED)
    assert failed.processor_id == pending.processor_id
    wait_until(lambda: shop.client.tickets.get(ticket.id).status == "needs_review", PATIENCE)
    wait_until(lambda: len(shop.heard()) >= 2, PATIENCE)
    assert sorted(shop.heard()) == ["PAYMENT.REFUND.FAILED", "PAYMENT.REFUND.PENDING"], "each once"
    row = shop.row(ticket)
    assert row is not None
    assert row.state is State.FAILED, "in whatever order they arrive"


def test_an_answer_that_is_lost_and_a_5xx_pay_once(shop: Shop) -> None:
    capture = shop.paypal.pay("149.00")
    shop.paypal.fail("lost_response", payment=capture)
    shop.paypal.fail("server_error", payment=capture, acted=True)
    shop.paypal.fail("in_flight", payment=capture)
    ticket = shop.ticket(capture)
    shop.wait_for(ticket, State.SUCCEEDED)
    assert shop.paypal.refunded(capture) == 14900


def test_events_in_another_order_change_nothing_about_the_end(shop: Shop) -> None:
    capture = shop.paypal.pay("149.00")
    shop.paypal.fail("pending_then_succeed", payment=capture, seconds=3600)
    shop.paypal.fail("webhook_reordered", payment=capture)
    ticket = shop.ticket(capture)
    shop.wait_for(ticket, State.PENDING)
    shop.paypal.advance(3600)
    shop.wait_for(ticket, State.SUCCEEDED)
    wait_until(lambda: len(shop.heard()) == 2, PATIENCE)
    wait_until(shop.is_quiet, PATIENCE)
    row = shop.row(ticket)
    assert row is not None
    assert row.state is State.SUCCEEDED


def test_a_webhook_that_never_comes_is_made_up_for_by_looking_it_up(shop: Shop) -> None:
    capture = shop.paypal.pay("149.00")
    shop.paypal.fail("pending_then_succeed", payment=capture, seconds=0)
    shop.paypal.fail("webhook_lost", payment=capture, times=9)
    ticket = shop.ticket(capture)
    pending = shop.wait_for(ticket, State.PENDING)
    assert pending.due_at is not None, "it is looked up again"
    shop.paypal.settle()
    shop.connector.refunds.advance(pending)
    assert shop.wait_for(ticket, State.SUCCEEDED).processor_id == pending.processor_id


def test_an_event_is_not_believed_where_paypal_can_be_asked(shop: Shop) -> None:
    """As with a stolen webhook id and certificate, or an event that is older than it looks."""
    capture, paypal = shop.paypal.pay("149.00"), shop.paypal
    paypal.fail("pending_then_succeed", payment=capture, seconds=1e8)
    ticket = shop.ticket(capture)
    pending = shop.wait_for(ticket, State.PENDING)
    with paypal.lock:
        made = paypal._refunds[pending.processor_id or ""]
        made.status = "COMPLETED"
        paypal._announce(made, "PAYMENT.CAPTURE.REFUNDED")
        made.status = "PENDING"
    wait_until(lambda: len(shop.heard()) == 2, PATIENCE)
    wait_until(shop.is_quiet, PATIENCE)
    row = shop.row(ticket)
    assert row is not None
    assert row.state is State.PENDING


def test_a_refusal_is_held_with_what_to_do(shop: Shop) -> None:
    capture = shop.paypal.pay("149.00")
    shop.paypal.fail("refused", payment=capture, code="REFUND_FAILED_INSUFFICIENT_FUNDS")
    held = shop.wait_for(shop.ticket(capture), State.HELD)
    assert held.reason == Reason.INSUFFICIENT_BALANCE
    assert "add money in PayPal" in (held.detail or "")


def test_a_part_that_was_refunded_in_paypals_own_pages_counts(shop: Shop) -> None:
    """PayPal does not tell the sum: its refusal does."""
    capture = shop.paypal.pay("149.00")
    shop.paypal.refund_externally(capture, "100.00")
    held = shop.wait_for(shop.ticket(capture, "149.00"), State.HELD)
    assert held.reason in {Reason.EXCEEDS_REMAINING, Reason.REFUNDED_ELSEWHERE}
    assert shop.paypal.refunded(capture) == 10000
