"""What a refund and a return cost: commits, statements and requests. None of it is a time."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import dispatch_sandbox
from dispatch_returns.returns.labels import PrintableLabels
from dispatch_returns.store import Store, schema
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


def test_a_return_leaves_at_most_22_kilobytes(
    box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> None:
    """With the label that we draw, which is dropped when its return is long over."""
    shop = ReturnsShop(box, tmp_path, parts={"labels": PrintableLabels()})
    ticket = shop.ask()
    shop.connector.returns.receive(ticket.id, condition="new", who="Ann")
    shop.work()
    shop.arrive(ticket)
    (label,) = shop.labels(ticket)
    assert label.attachment_id is not None
    assert len(label.pdf or b"") > 15_000
    shop.work(days=61)
    (label,) = shop.labels(ticket)
    assert (label.pdf, label.document, label.tracking_number) == (None, None, label.tracking_number)
    assert bytes_of(shop.store) <= 22_000
    shop.close()


def bytes_of(store: Store) -> int:
    """Add up what all columns of all rows hold."""
    total = 0
    with store.read() as conn:
        for table in schema.metadata.sorted_tables:
            for row in conn.exec_driver_sql(f"SELECT * FROM {table.name}"):
                total += sum(len(it if isinstance(it, bytes) else str(it).encode()) for it in row)
    return total
