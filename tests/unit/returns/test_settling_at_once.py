"""Two workers at once with two returns of one order: neither sees the other before it decides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.store import Store
from tests.support import postgres
from tests.support.one_order import BOUGHT, OrderShop, Together, policy
from tests.support.purchases import line, order
from tests.support.stores import open_store

TWO_ARTICLES = order(
    line("A", price=333, currency="USD"),
    line("B", price=1001, currency="USD"),
    shipping=499,
    currency="USD",
)
Machines = Callable[..., tuple[OrderShop, OrderShop]]


@pytest.fixture(params=["sqlite", "postgres"])
def machines(
    request: pytest.FixtureRequest, box: dispatch_sandbox.Sandbox, tmp_path: Path
) -> Iterator[Machines]:
    """Give a shop and another machine of it: each with a store of its own on one database."""
    with ExitStack() as stack:

        def open_two(bought: Order = BOUGHT, **keys: Any) -> tuple[OrderShop, OrderShop]:
            if request.param == "postgres":
                url = stack.enter_context(postgres.new_database())
                stores = Store.open(url), Store.open(url)
            else:
                path = tmp_path / "returns.db"
                stores = open_store(tmp_path), Store.open(f"sqlite:///{path}")
            book = Together(policy(**keys))
            one = OrderShop(box, tmp_path, bought=bought, book=book, workshop={"store": stores[0]})
            shared = {"store": stores[1], "fake": one.fake}
            two = OrderShop(box, tmp_path, bought=bought, book=book, workshop=shared)
            for shop in (one, two):
                stack.callback(shop.close)
            return one, two

        yield open_two


def take(shop: OrderShop) -> Callable[[], None]:
    """Claim the next return that is due; what is returned takes it as far as it goes."""
    (walking,) = (it for it in shop.connector.queues if it.name == "returns")
    (row,) = walking.claim(1)
    return lambda: walking.run(row)


def at_once(one: OrderShop, two: OrderShop, question: str) -> None:
    """Have two returns that are due decided at once, and then do what else there is."""
    one.book.next_two(question)
    with ThreadPoolExecutor(2) as pool:
        for taken in [pool.submit(take(one)), pool.submit(take(two))]:
            taken.result()
    one.work()


def before_decisions(shop: OrderShop, *acts: Callable[[], object]) -> None:
    """Do one thing each time `shop` has decided, and has not yet written it down."""
    write, left = shop.store.write, list(acts)

    def decide(name: str, work: Callable[[Connection], Any]) -> Any:
        if name == "return.decided" and left:
            left.pop(0)()
        return write(name, work)

    shop.store.write = decide  # type: ignore[method-assign]


# What arrived.


def test_two_returns_settled_at_once_are_not_both_paid_the_way_out(machines: Machines) -> None:
    one, two = machines(shipping="always")
    for ticket in (one.open("A"), one.open("A")):
        one.note(ticket)
    at_once(one, two, "inspect")
    assert sorted(one.paid) == ["3.33", "8.32"]


def test_two_returns_settled_at_once_pay_the_last_cent_once_and_not_never(
    machines: Machines,
) -> None:
    one, two = machines(shipping="share")
    for ticket in (one.open("A"), one.open("A", "A")):
        one.note(ticket)
    at_once(one, two, "inspect")
    assert sum(map(Decimal, one.paid)) == Decimal("14.99")


def test_two_returns_without_a_parcel_at_once_are_not_both_paid_the_way_out(
    machines: Machines,
) -> None:
    one, two = machines(TWO_ARTICLES, shipping="always", returnless_under="50 USD")
    one.request("A")
    one.request("B")
    at_once(one, two, "settle")
    assert sum(map(Decimal, one.paid)) == Decimal("18.33")


@pytest.mark.parametrize("status", ["refunded", "item_received"])
def test_a_person_who_agrees_while_another_return_is_settled_is_asked_again(
    machines: Machines, status: str
) -> None:
    one, two = machines(shipping="always")
    doubtful, other = one.open("A"), one.open("A")
    one.bring(doubtful, condition="wet")
    one.note(other)
    before_decisions(two, take(one))
    two.put(doubtful, status)
    assert one.status(doubtful) == "needs_review"
    assert one.paid == ["8.32"]
    one.put(doubtful, status)
    assert one.paid == ["8.32", "3.33"]


def test_a_return_is_settled_beside_what_a_person_agrees_to_meanwhile(machines: Machines) -> None:
    one, two = machines(shipping="always")
    doubtful, other = one.open("A"), one.open("A")
    one.bring(doubtful, condition="wet")
    two.note(other)
    before_decisions(two, lambda: one.put(doubtful, "refunded"))
    take(two)()
    two.work()
    assert one.paid == ["8.32", "3.33"]


# Requests.


def test_of_two_requests_at_once_for_the_same_items_a_person_looks_at_one(
    machines: Machines,
) -> None:
    one, two = machines()
    late = two.request("A")
    early: list[Ticket] = []

    def ask() -> None:
        one.clock.turn(seconds=-1)  # its row was begun before, and is written only now
        early.append(one.request("A"))
        take(one)()

    evaluate = take(two)
    before_decisions(two, lambda: None, ask)
    evaluate()
    assert (one.status(early[0]), one.status(late)) == ("label_sent", "needs_review")


def test_a_request_counts_as_approved_before_its_ticket_says_so(machines: Machines) -> None:
    one, two = machines()
    late = two.request("A")
    evaluate = take(two)
    before_decisions(two, lambda: None, lambda: two.fault(match={"method": "PATCH"}))
    evaluate()
    assert one.status(late) == "eligibility_check"
    one.clock.turn(seconds=-1)
    early = one.request("A")
    take(one)()
    assert one.status(early) == "needs_review"
    two.work(minutes=1)
    assert one.status(late) == "label_sent"
