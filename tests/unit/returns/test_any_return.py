"""Whatever a return's ticket says at each step: it continues, or its records say why not."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.errors import ReturnStateError
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns.policy.book import PolicyBook
from dispatch_returns.returns.policy.policy import ReturnPolicy
from dispatch_returns.returns.records import Decision
from dispatch_returns.store.inbox import EventState
from dispatch_sandbox.wire import Record
from tests.support import stores
from tests.support.desk import usd
from tests.support.returns_shop import ReturnsShop
from tests.unit.returns.test_any_value import (
    AROUND,
    VALUES,
    WHO,
    nothing_escapes,
    opened_ticket,
    works,
)

EXAMPLES = {"sqlite": 5, "postgresql": 2}
REQUESTED: st.SearchStrategy[Any] = st.dictionaries(
    st.sampled_from(
        [
            *(
                "order_id",
                "items_to_return",
                "return_reason",
                "original_order_total",
                "order_proof",
            ),
            *("language", "condition", "received_date", "refund_amount", "currency"),
        ]
    ),
    VALUES,
    max_size=3,
)
ITEMS: st.SearchStrategy[Any] = st.lists(
    st.fixed_dictionaries({"sku": st.just("SKU-001")}, optional={"quantity": VALUES}), max_size=2
).map(lambda items: {"items_to_return": items})
ARRIVED: st.SearchStrategy[Any] = st.dictionaries(
    st.sampled_from(["received_date", "condition", "received_items", "refund_amount", "currency"]),
    VALUES,
    max_size=3,
)
PLAIN: Record = {
    "items_to_return": ["SKU-001"],
    "return_reason": "wrong_size",
    "received_date": None,
    "refund_amount": None,
}
POLICY = ReturnPolicy.of(version="1", window_days=3650)


@contextmanager
def opened(kind: str, box: dispatch_sandbox.Sandbox) -> Generator[ReturnsShop]:
    """Give a shop with a policy and an empty store."""
    with TemporaryDirectory() as folder, stores.opened(kind, Path(folder)) as store:
        parts = {"book": PolicyBook([POLICY])}
        shop = ReturnsShop(box, Path(folder), parts=parts, store=store)
        try:
            yield shop
        finally:
            shop.close()


@pytest.mark.parametrize("kind", stores.KINDS)
def test_a_return_continues_or_its_records_say_why_not(
    kind: str, box: dispatch_sandbox.Sandbox
) -> None:
    @given(REQUESTED | ITEMS, ARRIVED, AROUND, WHO)
    @settings(max_examples=EXAMPLES[kind])
    def holds(requested: Record, arrived: Record, around: Record, who: Record) -> None:
        with nothing_escapes(), opened(kind, box) as shop:
            ticket = opened_ticket(shop, "return_requested", PLAIN | requested, around, who)
            works(shop, ticket)
            overwrite(shop, ticket, "item_received", {"received_date": "2024-01-16"} | arrived)
            works(shop, ticket)
            assert sum(it.amount.minor for it in shop.fake.refunds) <= usd("149.00").minor
            for row in shop.refunds(ticket):
                assert row.state is State.SUCCEEDED or row.reason is not None
            decisions = decisions_of(shop, ticket)
            assert decisions or could_not_read(shop)
            assert all(it.outcome for it in decisions)

    holds()


def overwrite(shop: ReturnsShop, ticket: Ticket, status: str, fields: Record) -> None:
    """Change the ticket past all the API's checks."""
    record = shop.box.state.workspaces[dispatch_sandbox.WORKSPACE].tickets[ticket.id]
    record |= {"status": status, "customFields": record["customFields"] | fields}


def decisions_of(shop: ReturnsShop, ticket: Ticket) -> list[Decision]:
    """What was decided of the ticket's return; none where it has no return."""
    try:
        return shop.decisions(ticket)
    except ReturnStateError:
        return []


def could_not_read(shop: ReturnsShop) -> bool:
    """Whether an event was set aside because its ticket could not be read."""
    with shop.store.read() as conn:
        rows = conn.exec_driver_sql("SELECT state, error FROM inbox").all()
    return any(state == EventState.NOT_SHOWN and error for state, error in rows)
