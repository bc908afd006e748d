"""Whatever an event's body says: it is accepted or kept, never a 500, and nothing of it stops."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dispatch_sandbox
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_returns.refunds.transitions import RefundAction, State
from dispatch_returns.testing import FakeAdapter
from dispatch_sandbox.wire import Record, dumps
from tests.support import stores
from tests.support.desk import usd
from tests.support.webhooks import STRIPE_SECRET, signed, stripe_signed
from tests.support.workshop import SECRET, Workshop
from tests.unit.returns.test_any_value import (
    LISTED,
    REFUNDS,
    VALUES,
    is_right,
    nothing_escapes,
    opened,
    opened_ticket,
    settles,
)

EXAMPLES = {"sqlite": 12, "postgresql": 4}
TYPES = st.sampled_from(
    [
        *("ticket.created", "ticket.updated", "ticket.deleted", "comment.created"),
        *("ticket.comment.created", "ticket.closed", "a.new.type"),
    ]
)
AROUND: st.SearchStrategy[Any] = st.dictionaries(
    st.sampled_from(["id", "event", "type", "brand_id", "workspaceId", "data", "timestamp", "x"]),
    VALUES,
    max_size=2,
)
DATA: st.SearchStrategy[Any] = st.dictionaries(
    st.sampled_from(
        [
            *("id", "ticketId", "ticketNumber", "title", "status", "priority", "assigneeId"),
            *("customerId", "customerEmail", "customerName", "updatedAt", "changes", "comment"),
            *("customFields", "deletedAt", "tags", "source", "ticket_id"),
        ]
    ),
    VALUES,
    max_size=3,
)


def posted(shop: Workshop, source: str, body: bytes, headers: dict[str, str]) -> None:
    """Deliver a body and work until all that follows is done."""
    answer = shop.connector.receivers[source].receive("POST", headers, body)
    assert answer.status == 200
    assert b'"accepted"' in answer.body or b'"unreadable"' in answer.body
    with nothing_escapes():
        settles(shop)


@pytest.mark.parametrize("kind", stores.KINDS)
def test_an_event_of_dispatch_is_dealt_with_or_kept_with_its_reason(
    kind: str, box: dispatch_sandbox.Sandbox
) -> None:
    @given(TYPES, AROUND, DATA)
    @settings(max_examples=EXAMPLES[kind])
    def holds(event: str, around: Record, data: Record) -> None:
        with opened(kind, box) as shop:
            ticket = opened_ticket(shop, "refunded", {}, {}, {})
            said: Record = {"id": ticket.id, "ticketId": ticket.id, "changes": ["status"]} | data
            envelope = {
                "id": "evt_1",
                "event": event,
                "brand_id": dispatch_sandbox.WORKSPACE,
                "data": said,
                "timestamp": shop.clock().isoformat(),
            } | around
            body = dumps(envelope)
            posted(shop, "dispatch", body, signed(body, SECRET))
            is_right(shop.refund(ticket), 149)

    holds()


class _Stripe:
    """Answers each question with what a test has drawn, whatever it is."""

    def __init__(self, refunds: list[Record]) -> None:
        self._refunds = refunds

    def __call__(self, asked: httpx.Request) -> httpx.Response:
        if asked.url.path == "/v1/account":
            return httpx.Response(200, json={"id": "acct_1", "object": "account"})
        page = {"object": "list", "data": self._refunds, "has_more": False}
        return httpx.Response(200, content=dumps(page))


@contextmanager
def with_stripe(
    kind: str, box: dispatch_sandbox.Sandbox, refunds: list[Record]
) -> Generator[Workshop]:
    """Give a shop that pays with Stripe, of which nothing but its lists of refunds answers."""
    transport = httpx.MockTransport(_Stripe(refunds))
    with (
        TemporaryDirectory() as folder,
        httpx.Client(transport=transport) as http,
        stores.opened(kind, Path(folder)) as store,
    ):
        adapter = StripeAdapter("sk_test_1", webhook_secrets=STRIPE_SECRET, http_client=http)
        fake = cast("FakeAdapter", adapter)
        shop = Workshop(box, Path(folder), fake=fake, store=store, reconcile_every=0)
        adapter._clock = shop.clock
        try:
            yield shop
        finally:
            shop.close()


OF_EVENT: st.SearchStrategy[Any] = st.dictionaries(
    st.sampled_from(["id", "type", "created", "data", "account"]), VALUES, max_size=2
)
KINDS = st.sampled_from(["refund.updated", "refund.failed", "charge.refunded", "customer.created"])


@pytest.mark.parametrize("kind", stores.KINDS)
def test_an_event_of_stripe_is_dealt_with_or_kept_with_its_reason(
    kind: str, box: dispatch_sandbox.Sandbox
) -> None:
    @given(KINDS, REFUNDS, OF_EVENT, st.lists(LISTED, max_size=2))
    @settings(max_examples=EXAMPLES[kind])
    def holds(event: str, refund: Record, around: Record, listed: list[Record]) -> None:
        with with_stripe(kind, box, listed) as shop:
            ticket = shop.client.tickets.create(
                subject="Return", status="refunded", customer_email="jane@example.com"
            )
            paid(shop, ticket.id)
            body = dumps(
                {
                    "id": "evt_1",
                    "object": "event",
                    "type": event,
                    "created": int(shop.clock().timestamp()),
                    "data": {"object": refund},
                }
                | around
            )
            posted(shop, "stripe", body, stripe_signed(body, at=shop.clock()))
            row = shop.refund(ticket)
            assert row is not None
            assert row.amount == usd("149.00")
            assert row.state in {State.SUCCEEDED, State.FAILED, State.CANCELED} or row.due_at

    holds()


def paid(shop: Workshop, ticket_id: str) -> None:
    """Write the row of a refund that was paid, which the events are about."""
    now = shop.clock()
    workspace = shop.connector.installation.workspace()
    payment = {"kind": "payment_intent", "id": "pi_1", "account": None}
    shop.store.write(
        "paid",
        lambda conn: ledger.create(
            conn,
            workspace,
            ticket_id,
            1,
            now,
            adapter="stripe",
            state=State.SUCCEEDED,
            by=RefundAction.ADOPT,
            amount=usd("149.00"),
            payment=payment | {"reverse_transfer": False, "refund_application_fee": False},
            processor_id="re_1",
            uncertain=False,
            first_sent_at=now,
        ),
    )
