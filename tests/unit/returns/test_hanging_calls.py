"""Calls to Dispatch that hang until their time limit, beside refunds whose calls do not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.client.core import Options
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.transitions import State
from tests.support.waiting import wait_until
from tests.support.workshop import Workshop


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[Workshop]:
    shop = Workshop(box, tmp_path, reconcile_every=0)
    yield shop
    shop.close()


@pytest.mark.parametrize(
    ("many", "limit", "noise"), [(20, 8, 2), pytest.param(100, 20, 0, marks=pytest.mark.long)]
)
def test_refunds_beside_calls_that_hang_take_at_most_twice_as_long_as_alone(
    shop: Workshop, many: int, limit: float, noise: float
) -> None:
    shop.client._options = Options(timeout=limit)
    first, second, hanging = ([shop.ticket() for _ in range(many)] for _ in range(3))
    for ticket in hanging:
        shop.fault("slow", times=None, match={"path": f"*/{ticket.id}"}, seconds=limit + 1)
    shop.connector.start()
    alone = seconds_to_pay(shop, first)
    begun = time.monotonic()
    for ticket in hanging:
        shop.event(ticket.id)
    beside = seconds_to_pay(shop, second, paid=many)
    assert time.monotonic() - begun < limit, "they hang no more"
    assert beside <= 2 * alone + noise
    assert all(shop.refund(ticket) is None for ticket in hanging)


def seconds_to_pay(shop: Workshop, tickets: list[Ticket], *, paid: int = 0) -> float:
    for ticket in tickets:
        shop.event(ticket.id)
    begun = time.monotonic()
    shop.connector.wake()

    def count() -> int:
        with shop.store.read() as conn:
            return len(ledger.in_state(conn, State.SUCCEEDED))

    wait_until(lambda: count() == paid + len(tickets), 60)
    return time.monotonic() - begun
