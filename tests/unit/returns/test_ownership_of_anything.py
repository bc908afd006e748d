"""Whatever a ticket says and wherever it stands: another than the owner gets nothing by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_returns.client import DispatchClient, Ticket
from dispatch_returns.emails import same_email
from dispatch_returns.refunds.intake import Intake
from dispatch_returns.refunds.processors import Adapters
from dispatch_returns.returns.labels.provider import Address
from dispatch_returns.returns.owner_lookup import OrderRecords, Owners
from dispatch_returns.returns.steps.engine import ReturnsEngine
from dispatch_returns.returns.steps.statuses import StatusNames
from dispatch_returns.store import Store
from dispatch_returns.testing import FakeAdapter
from tests.support.desk import Clock, usd
from tests.support.returns import Merchant, Orders, order
from tests.support.stores import open_store
from tests.unit.returns.test_settling_in_any_order import Tickets

JANE = "jane@example.com"
HOME = Address("Jane Doe", "12 Secret Lane", "Hideaway", "99999", "US")
_numbers = count(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with closing(open_store(tmp_path_factory.mktemp("owner"), durable=False)) as store:
        yield store


ADDRESSES = st.sampled_from([JANE, "Jane@EXAMPLE.com", "m@evil.example", "jane-@example.com", None])
STATUSES = st.sampled_from(["return_requested", "approved", "label_sent", "item_received"])
WORDS = st.fixed_dictionaries(
    {},
    optional={
        "received_date": st.just("2024-01-15"),
        "condition": st.just("good"),
        "refund_amount": st.just(149),
        "order_proof": st.sampled_from(["right", "another order's", "invented"]),
        "customer_email": st.just(JANE),
        "language": st.sampled_from(["en", "de"]),
    },
)


@given(email=ADDRESSES, status=STATUSES, words=WORDS, returnless=st.booleans())
@settings(max_examples=40, deadline=None)
def test_another_than_the_owner_gets_no_money_and_no_address_without_a_person(
    store: Store,
    email: str | None,
    status: str,
    words: dict[str, Any],
    returnless: bool,
) -> None:
    # Each example is a shop of its own: another return of the same order is looked at.
    workspace = f"ws_{next(_numbers)}"
    clock, tickets = Clock(), Tickets()
    merchant = Merchant(orders=Orders())
    merchant.orders.known["1234"] = replace(order(), customer_email=JANE, address=HOME)
    merchant.rules.returnless = returnless
    adapter = FakeAdapter({"pi_1": usd("149.00")}, clock=clock)
    attachments = SimpleNamespace(list=_none, upload=_uploaded)
    client = cast("DispatchClient", SimpleNamespace(tickets=tickets, attachments=attachments))
    owners = Owners(store, clock)
    records = OrderRecords(merchant.orders, owners)
    proofs = {"right": owners.proof("1234"), "another order's": owners.proof("5")}
    said = words.get("order_proof")
    fields = words | ({"order_proof": proofs.get(said, said)} if said else {})
    engine = ReturnsEngine(
        store,
        client,
        merchant.parts(),
        Intake(Adapters.of(adapter), clock=clock, order_of=records.of_facts),
        owners,
        workspace=lambda: workspace,
        statuses=StatusNames(),
        lease=timedelta(minutes=5),
        first_retry=timedelta(seconds=5),
        patience=timedelta(days=1),
        clock=clock,
    )
    ticket = Ticket.model_validate(
        {
            "id": f"tkt_{next(_numbers)}",
            "workspace_id": workspace,
            "subject": "Return",
            "status": status,
            "customer_email": email,
            "custom_fields": {
                "order_id": "1234",
                "items_to_return": ["SKU-001"],
                "payment_intent": "pi_1",
                **fields,
            },
        }
    )
    tickets.add(ticket)
    store.write("enter", lambda conn: engine.enter(conn, ticket))
    for _ in range(20):
        for row in engine.claim(10):
            engine.advance(row)
    mine = f"ticket_id = '{ticket.id}'"
    with store.read() as conn:
        entered = conn.exec_driver_sql(f"SELECT state FROM ledger WHERE {mine}").scalars().all()
        sent = [
            str(it)
            for it in conn.exec_driver_sql(f"SELECT payload FROM outbox WHERE {mine}").scalars()
        ]
    if same_email(email, JANE) or said == "right":
        assert tickets.get(ticket.id).status != "needs_review" or status == "item_received"
    else:
        assert tickets.get(ticket.id).status == "needs_review"
        assert merchant.labels.bought == []
        assert set(entered) <= {"held"}
        assert not any("Secret" in it or JANE in it.lower() for it in sent)
        assert not any(f'"notification": "{kind}"' in it for kind in TOLD for it in sent)


TOLD = ("approved", "label_sent", "received", "refunded", "rejected")


def _none(_ticket_id: str) -> list[object]:
    return []


def _uploaded(*_: object, begun: Any, **__: object) -> Any:
    begun("up_1")
    return SimpleNamespace(id="att_1")
