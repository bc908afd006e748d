"""What a refund and a return cost: commits, statements and requests. None of it is a time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import dispatch_sandbox
from tests.support.counting import counted
from tests.support.returns_shop import ReturnsShop
from tests.support.workshop import Workshop


def test_a_refund_costs_six_commits(shop: Workshop) -> None:
    shop.run(shop.ticket())  # so that the connector knows its workspace, and the jobs have rows
    ticket = shop.ticket()
    shop.event(ticket.id)
    with counted(shop.store) as found:
        shop.connector.work_off()
    assert found.writes == {
        "event.claim": 1,
        "event.done": 1,
        "refund.outcome": 1,
        "message.claim": 1,
        "message.done": 2,
    }
    assert found.statements <= 34
    assert found.calls == {"GET *": 2, "PATCH *": 1, "POST comments": 1}


def test_looking_for_work_costs_no_commit(shop: Workshop) -> None:
    shop.run(shop.ticket())
    with counted(shop.store) as found:
        shop.connector.work_off()
    assert found.writes == Counter()
    assert found.statements <= 2


def test_a_whole_return_costs_29_requests_and_8_claims(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    shop = ReturnsShop(box, tmp_path)
    with counted(shop.store) as found:
        ticket = shop.ask()
        shop.connector.returns.receive(ticket.id, condition="new", who="Ann")
        shop.work()
        shop.arrive(ticket)
    assert shop.status(ticket) == "refunded"
    assert [it.state for it in shop.refunds(ticket)] == ["succeeded"]
    assert found.calls.total() <= 29, found.calls
    assert found.claims <= 8, found.writes
    assert found.writes.total() <= 45, found.writes
    shop.close()
