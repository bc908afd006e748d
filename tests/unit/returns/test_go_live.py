"""Going live: what was `refunded` before this installation began is not paid."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import go_live
from tests.support.workshop import Workshop


@pytest.fixture
def new(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[Workshop]:
    """A shop that was never started, and compares its books every day."""
    shop = Workshop(box, tmp_path, live=False, reconcile_every=24)
    yield shop
    shop.close()


def of_before(new: Workshop) -> Ticket:
    """A ticket that was settled by voucher, say, before the first start."""
    ticket = new.ticket()
    new.work()
    assert new.refund(ticket) is None
    return ticket


def paid(shop: Workshop) -> int:
    return len(shop.fake.refunds)


@pytest.mark.parametrize("changes", [["tags"], ["status"]])
def test_no_event_alone_pays_a_ticket_of_before(new: Workshop, changes: list[str]) -> None:
    ticket = of_before(new)
    for _ in range(3):
        new.event(ticket.id, data={"id": ticket.id, "changes": changes})
        new.work(minutes=5)
    assert (paid(new), new.refund(ticket)) == (0, None)
    assert new.now(ticket).status == "refunded"
    notes = [it.body for it in new.comments(ticket)]
    assert len(notes) == (1 if changes == ["status"] else 0)


def test_an_event_that_came_before_the_first_start_pays_nothing_of_before(new: Workshop) -> None:
    ticket = new.ticket()
    new.event(ticket.id)
    new.work()
    assert (paid(new), new.refund(ticket)) == (0, None)


def test_a_ticket_of_before_that_cannot_be_understood_hides_no_other(new: Workshop) -> None:
    poison, good = new.ticket(), new.ticket()
    record = new.box.state.workspaces[poison.workspace_id].tickets[poison.id]
    fields, record["customFields"] = record["customFields"], [1]
    new.work()
    record["customFields"] = fields
    for ticket in (poison, good):
        new.event(ticket.id)
    new.work()
    assert (paid(new), new.refund(poison), new.refund(good)) == (0, None, None)


def test_the_daily_comparison_pays_nothing_of_before(new: Workshop) -> None:
    of_before(new)
    for _ in range(3):
        new.work(hours=25)
    assert paid(new) == 0


def test_a_ticket_that_was_seen_in_another_status_is_paid(new: Workshop) -> None:
    ticket = of_before(new)
    new.set(ticket, "item_received")
    new.run(ticket)
    new.set(ticket, "refunded")
    new.run(ticket)
    assert paid(new) == 1


def test_a_person_pays_a_ticket_of_before_by_an_explicit_call(new: Workshop) -> None:
    ticket = of_before(new)
    assert new.connector.refund(ticket.id).state is State.SUCCEEDED
    assert paid(new) == 1


def test_a_ticket_that_is_refunded_after_the_first_start_is_paid(new: Workshop) -> None:
    new.work()
    ticket = new.ticket()
    new.run(ticket)
    assert paid(new) == 1


def test_until_the_list_is_complete_the_event_waits(new: Workshop) -> None:
    new.fault(match={"method": "GET"}, status=503)
    new.work()
    ticket = new.ticket("item_received")
    event = new.event(ticket.id)
    new.work()
    assert new.found(event).state == "accepted"
    new.work(minutes=1)
    assert new.found(event).state == "done"


def test_the_list_goes_on_where_it_was_interrupted(new: Workshop) -> None:
    tickets = [new.ticket() for _ in range(101)]
    first = new.client.tickets.list_page(
        status="refunded", sort="created_at", order="asc", limit=100
    )
    assert first.cursor is not None

    def interrupted(conn: object) -> None:
        go_live.begin(conn, dispatch_sandbox.WORKSPACE, new.clock())  # type: ignore[arg-type]
        found = [it.id for it in first.data]
        go_live.keep(conn, dispatch_sandbox.WORKSPACE, found, first.cursor, new.clock())  # type: ignore[arg-type]

    new.store.write("interrupted", interrupted)
    new.work()
    with new.store.read() as conn:
        kept = go_live.among(conn, dispatch_sandbox.WORKSPACE, [it.id for it in tickets])
    assert len(kept) == 101
