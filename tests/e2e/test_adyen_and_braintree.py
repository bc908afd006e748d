"""A merchant with Adyen and Braintree in one connector, over real HTTP, webhooks included."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

import dispatch_sandbox
from dispatch_returns import Connector, Settings, webhooks
from dispatch_returns.client import DispatchClient, JsonValue, Ticket
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.ledger import Refund
from dispatch_returns.refunds.retry_schedule import RetrySchedule
from dispatch_returns.refunds.transitions import State
from dispatch_sandbox import adyen, braintree
from dispatch_sandbox.server import serving
from dispatch_sandbox.state import SandboxState
from tests.support import stores
from tests.support.waiting import wait_until
from tests.support.webhooks import SECRET

PATIENCE = 15.0
CHALLENGE = "20f9f8ed05f77439fe955c977e4c8a53"


@dataclass
class Shop:
    """A merchant's web application, and the processors."""

    client: DispatchClient
    connector: Connector
    box: SandboxState
    url: str

    def ticket(self, payment: str, currency: str) -> Ticket:
        fields: dict[str, JsonValue] = {
            "order_id": "1234",
            "received_date": "2026-01-15",
            "refund_amount": Decimal("149.00"),
            "currency": currency,
            "payment_reference": payment,
        }
        return self.client.tickets.create(subject="Return", status="refunded", custom_fields=fields)

    def wait_for(self, ticket: Ticket, state: State) -> Refund:
        found: list[Refund] = []

        def there() -> bool:
            with self.connector.store.read() as conn:
                found[:] = ledger.newest(conn, limit=1, ticket_id=ticket.id)
            return bool(found) and found[0].state is state

        wait_until(there, PATIENCE)
        return found[0]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    folder: Path = tmp_path_factory.mktemp("shop")
    with (
        stores.opened("sqlite", folder) as store,
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
            adapters=("adyen", "braintree"),
            adapter_options={
                "adyen": {
                    "api_key": adyen.API_KEY,
                    "merchant_account": adyen.MERCHANT_ACCOUNT,
                    "hmac_key": adyen.HMAC_KEY,
                    "base_url": box.state.adyen.base_url,
                },
                "braintree": {
                    "merchant_id": braintree.MERCHANT_ID,
                    "public_key": braintree.PUBLIC_KEY,
                    "private_key": braintree.PRIVATE_KEY,
                    "base_url": box.state.braintree.base_url,
                },
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
                for it in (box.state.adyen, box.state.braintree):
                    it.listen(f"{url}/webhooks/{it.name}")
                yield Shop(client, connector, box.state, url)


def test_adyens_webhook_ends_a_refund_whose_answer_was_lost_and_a_later_one_fails_it(
    shop: Shop,
) -> None:
    payment = shop.box.adyen.pay("149.00", "EUR")
    shop.box.adyen.fail("lost_response", payment=payment)
    ticket = shop.ticket(payment, "EUR")
    made = shop.wait_for(ticket, State.SUCCEEDED)
    assert made.adapter == "adyen"
    assert shop.box.adyen.refunded(payment) == 14900
    shop.box.adyen.reverse(made.processor_id or "")
    assert shop.wait_for(ticket, State.FAILED).processor_id == made.processor_id
    wait_until(lambda: shop.client.tickets.get(ticket.id).status == "needs_review", PATIENCE)


def test_several_items_of_one_post_each_reach_their_refund(shop: Shop) -> None:
    payments = [shop.box.adyen.pay("149.00", "EUR") for _ in range(2)]
    for payment in payments:
        shop.box.adyen.fail("webhook_lost", payment=payment)
    tickets = [shop.ticket(payment, "EUR") for payment in payments]
    rows = [shop.wait_for(ticket, State.PENDING) for ticket in tickets]
    items = [
        {
            "amount": {"currency": "EUR", "value": 14900},
            "eventCode": "REFUND",
            "eventDate": "2026-11-29T12:00:00+00:00",
            "merchantAccountCode": adyen.MERCHANT_ACCOUNT,
            "merchantReference": row.idempotency_key,
            "originalReference": payment,
            "pspReference": row.processor_id,
            "reason": "",
            "success": "true",
        }
        for row, payment in zip(rows, payments, strict=True)
    ]
    posted = httpx.post(f"{shop.url}/webhooks/adyen", json=adyen.notification(items))
    assert posted.status_code == 200
    for ticket in tickets:
        shop.wait_for(ticket, State.SUCCEEDED)


def test_braintrees_challenge_is_answered_and_a_failed_refund_reaches_its_ticket(
    shop: Shop,
) -> None:
    asked = httpx.get(f"{shop.url}/webhooks/braintree", params={"bt_challenge": CHALLENGE})
    assert asked.status_code == 200
    assert asked.text.startswith(f"{braintree.PUBLIC_KEY}|")
    assert httpx.get(f"{shop.url}/webhooks/braintree").status_code == 401
    payment = shop.box.braintree.pay("149.00")
    shop.box.braintree.fail("fail_later", payment=payment, seconds=3600)
    ticket = shop.ticket(payment, "USD")
    assert shop.wait_for(ticket, State.PENDING).adapter == "braintree"
    shop.box.braintree.advance(3600)
    shop.wait_for(ticket, State.FAILED)
    wait_until(lambda: shop.client.tickets.get(ticket.id).status == "needs_review", PATIENCE)


def test_an_unsettled_transaction_ends_as_voided_on_its_ticket(shop: Shop) -> None:
    payment = shop.box.braintree.pay("149.00", status="SUBMITTED_FOR_SETTLEMENT")
    ticket = shop.ticket(payment, "USD")
    shop.wait_for(ticket, State.VOIDED)
    assert shop.box.braintree.transactions[payment].status == "VOIDED"
