"""A merchant with cards at Stripe and PayPal beside them: from two settings to two refunds."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import httpx
from fastapi import FastAPI

import dispatch_sandbox
from dispatch_returns import Connector, Settings, webhooks
from dispatch_returns.client import DispatchClient, JsonValue, Ticket
from dispatch_returns.refunds.retry_schedule import RetrySchedule
from dispatch_returns.store import Store, inbox
from dispatch_sandbox import stripe
from dispatch_sandbox.paypal import CLIENT_ID, CLIENT_SECRET, WEBHOOK_ID
from dispatch_sandbox.paypal.signing import key_pair
from dispatch_sandbox.server import serving
from tests.support import stores
from tests.support.waiting import wait_until
from tests.support.webhooks import SECRET

PATIENCE = 15.0


def environment(box: dispatch_sandbox.Sandbox, roots: Path) -> dict[str, str]:
    return {
        "DISPATCH_API_KEY": dispatch_sandbox.API_KEY,
        "DISPATCH_WORKSPACE": dispatch_sandbox.WORKSPACE,
        "DISPATCH_WEBHOOK_SECRET": SECRET,
        "DISPATCH_BASE_URL": box.api_url,
        "DISPATCH_RETURNS_ADAPTERS": "stripe, paypal",
        "STRIPE_API_KEY": stripe.API_KEY,
        "STRIPE_BASE_URL": box.url,
        "STRIPE_WEBHOOK_SECRET": SECRET,
        "PAYPAL_CLIENT_ID": CLIENT_ID,
        "PAYPAL_CLIENT_SECRET": CLIENT_SECRET,
        "PAYPAL_WEBHOOK_ID": WEBHOOK_ID,
        "PAYPAL_BASE_URL": box.state.paypal.base_url,
        "PAYPAL_WEBHOOK_ROOTS": str(roots),
    }


def card(box: dispatch_sandbox.Sandbox) -> str:
    with httpx.Client(base_url=box.url, auth=(stripe.API_KEY, ""), trust_env=False) as client:
        form = {"amount": "14900", "currency": "usd", "confirm": "true"}
        made = client.post("/v1/payment_intents", data=form | {"payment_method": "pm_card_visa"})
    return str(made.json()["id"])


def senders(store: Store) -> set[str]:
    with store.read() as conn:
        return {it.source for it in inbox.newest(conn, limit=100)}


def test_each_payment_goes_back_where_it_came_from(tmp_path: Path) -> None:
    roots = tmp_path / "roots.pem"
    roots.write_bytes(key_pair().roots)
    with (
        stores.opened("sqlite", tmp_path) as store,
        dispatch_sandbox.running() as box,
        DispatchClient(
            dispatch_sandbox.API_KEY, dispatch_sandbox.WORKSPACE, base_url=box.api_url
        ) as client,
        Connector(
            Settings.from_env(environment(box, roots)),
            store=store,
            retry_schedule=RetrySchedule(first_retry=timedelta(milliseconds=100)),
        ) as connector,
    ):
        for key in ("refunded", "needs_review"):
            client.statuses.create(key=key, name=key)
        connector.go_live.complete()
        app = FastAPI(lifespan=connector.lifespan)
        app.include_router(webhooks.fastapi.router(connector), prefix="/webhooks")

        def ticket(payment: str) -> Ticket:
            fields: dict[str, JsonValue] = {
                "received_date": "2026-01-15",
                "refund_amount": Decimal("149.00"),
                "payment_reference": payment,
            }
            return client.tickets.create(subject="Return", status="refunded", custom_fields=fields)

        def paid(name: str, found: Ticket) -> bool:
            rows = connector.refunds_of(found.id)
            return [(row.adapter, str(row.state)) for row in rows] == [(name, "succeeded")]

        with serving(app) as url:
            client.webhooks.create(
                url=f"{url}/webhooks/dispatch", events=["ticket.created"], secret=SECRET
            )
            box.state.stripe.events.listen(f"{url}/webhooks/stripe", SECRET)
            box.state.paypal.listen(f"{url}/webhooks/paypal")
            cards, paypal = ticket(card(box)), ticket(box.state.paypal.pay("149.00"))
            wait_until(lambda: paid("stripe", cards) and paid("paypal", paypal), PATIENCE)
            wait_until(lambda: senders(store) == {"dispatch", "stripe", "paypal"}, PATIENCE)
