"""What waits to be paid, and people do not want any more."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from dispatch_returns.client import Ticket
from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds import actions
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import switches
from dispatch_returns.store.switches import Switch
from tests.support.workshop import Workshop

TakeBack = Callable[[Workshop, Ticket], None]


def kill(shop: Workshop, *, is_on: bool) -> None:
    shop.store.write(
        "throw",
        lambda conn: switches.throw(
            conn, Switch.KILL, shop.clock(), is_on=is_on, who="Ann", why="a test"
        ),
    )


def waiting(shop: Workshop, **fields: object) -> Ticket:
    """A ticket whose refund waits for the kill switch."""
    kill(shop, is_on=True)
    ticket = shop.ticket(**fields)  # type: ignore[arg-type]
    shop.run(ticket)
    return ticket


def paid(shop: Workshop) -> int:
    return len(shop.fake.refunds)


def set_to(status: str) -> TakeBack:
    return lambda shop, ticket: shop.set(ticket, status)


def mark(**values: object) -> TakeBack:
    def change(shop: Workshop, ticket: Ticket) -> None:
        (workspace,) = (w for w in shop.box.state.workspaces.values() if ticket.id in w.tickets)
        workspace.tickets[ticket.id].update(values)

    return change


def delete(shop: Workshop, ticket: Ticket) -> None:
    shop.client.tickets.delete(ticket.id)
    shop.event(ticket.id, kind="ticket.deleted")


@pytest.mark.parametrize(
    "take_back",
    [
        pytest.param(set_to("rejected"), id="rejected"),
        pytest.param(set_to("needs_review"), id="needs_review"),
        pytest.param(mark(isSpam=True), id="spam"),
        pytest.param(mark(mergedIntoId="tkt_other"), id="merged"),
        pytest.param(delete, id="deleted"),
    ],
)
def test_what_people_took_back_while_it_waited_is_not_paid(
    shop: Workshop, take_back: TakeBack
) -> None:
    ticket = waiting(shop)
    take_back(shop, ticket)
    kill(shop, is_on=False)
    for _ in range(8):
        shop.work(minutes=5)
    row = shop.refund(ticket)
    assert row is not None
    assert (paid(shop), row.state, row.reason) == (0, State.HELD, "taken_back")


def test_a_lower_amount_than_was_entered_is_not_paid_over(shop: Workshop) -> None:
    ticket = waiting(shop)
    shop.set(ticket, refund_amount=Decimal("10.00"))
    kill(shop, is_on=False)
    shop.work(minutes=5)
    row = shop.refund(ticket)
    assert row is not None
    assert (paid(shop), row.reason) == (0, "changed_meanwhile")


def test_what_was_taken_back_is_paid_when_a_person_sets_it_to_refunded_again(
    shop: Workshop,
) -> None:
    ticket = waiting(shop)
    shop.set(ticket, "rejected")
    kill(shop, is_on=False)
    shop.work(minutes=5)
    shop.set(ticket, "refunded")
    shop.run(ticket)
    row = shop.refund(ticket)
    assert row is not None
    assert (paid(shop), row.state) == (1, State.SUCCEEDED)


def test_a_review_that_we_have_set_takes_nothing_back(shop: Workshop) -> None:
    ticket = shop.ticket(received_date=None)
    shop.run(ticket)
    assert shop.now(ticket).status == "needs_review"
    shop.set(ticket, received_date="2024-01-15")
    row = shop.refund(ticket)
    assert row is not None
    facts = shop.connector.facts(shop.now(ticket), row)
    actions.retry(shop.connector.refunds, row.id, who="Ann", facts=facts)
    shop.work()
    assert paid(shop) == 1


def test_what_may_have_been_carried_out_is_finished_whatever_the_ticket_says(
    shop: Workshop,
) -> None:
    ticket = shop.ticket()
    shop.fake.fail_next(AdapterError(ErrorKind.UNKNOWN_OUTCOME, "no answer"))
    shop.run(ticket)
    shop.set(ticket, "rejected")
    shop.work(minutes=5)
    row = shop.refund(ticket)
    assert row is not None
    assert (paid(shop), row.state) == (1, State.SUCCEEDED)


def test_a_ticket_that_cannot_be_read_now_is_asked_for_again(shop: Workshop) -> None:
    waiting(shop)
    kill(shop, is_on=False)
    shop.fault(status=404, times=2)
    shop.work(minutes=2)
    assert paid(shop) == 0
    shop.work(minutes=2)
    shop.work(minutes=2)
    assert paid(shop) == 1


def test_a_ticket_that_is_not_found_for_a_day_is_not_paid(shop: Workshop) -> None:
    ticket = waiting(shop)
    shop.client.tickets.delete(ticket.id)
    kill(shop, is_on=False)
    for _ in range(23):
        shop.work(hours=1)
    row = shop.refund(ticket)
    assert row is not None
    assert row.state is State.REQUESTED
    for _ in range(3):
        shop.work(hours=1)
    row = shop.refund(ticket)
    assert row is not None
    assert (paid(shop), row.state, row.reason) == (0, State.HELD, "taken_back")
