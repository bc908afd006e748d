"""Whatever happens to the returns of an order, and in whichever order, it is paid once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dispatch_returns.client import DispatchClient, Ticket
from dispatch_returns.money import stripe_rule
from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.intake import Intake
from dispatch_returns.refunds.processors import Adapters
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns import receipts, records
from dispatch_returns.returns.orders.model import Order
from dispatch_returns.returns.owner_lookup import Owners
from dispatch_returns.returns.policy.book import PolicyBook
from dispatch_returns.returns.policy.facts import OrderFacts
from dispatch_returns.returns.policy.policy import ReturnPolicy
from dispatch_returns.returns.policy.verdict import Item
from dispatch_returns.returns.service import receive
from dispatch_returns.returns.steps.engine import ReturnsEngine
from dispatch_returns.returns.steps.statuses import StatusNames
from dispatch_returns.returns.steps.workflow import Workflow
from dispatch_returns.returns.transitions import Step
from dispatch_returns.store import Store
from dispatch_returns.testing import FakeAdapter
from tests.support.desk import WORKSPACE, Clock
from tests.support.purchases import orders, pieces_of
from tests.support.returns import Orders
from tests.support.stores import open_store

_numbers = count(1)


class Tickets:
    """As much of Dispatch as the engine needs: tickets that are read and changed."""

    def __init__(self) -> None:
        self._known: dict[str, Ticket] = {}

    def with_options(self, **_: object) -> Tickets:
        return self

    def add(self, ticket: Ticket) -> None:
        self._known[ticket.id] = ticket

    def get(self, ticket_id: str) -> Ticket:
        return self._known[ticket_id]

    def update(self, ticket_id: str, **changes: Any) -> Ticket:
        self._known[ticket_id] = self._known[ticket_id].model_copy(update=changes)
        return self._known[ticket_id]


class Books:
    """The returns of one order, and what the ledger pays for them."""

    def __init__(self, store: Store, bought: Order, policy: ReturnPolicy) -> None:
        self.store, self.bought, self.clock = store, bought, Clock()
        self.order_id = f"order-{next(_numbers)}"
        self.tickets, self.opened = Tickets(), list[Ticket]()
        self.own = set[str]()
        """The refunds whose amount a person has given."""
        adapter = FakeAdapter({self.order_id: replace(bought.total, minor=10**9)})
        self.engine = ReturnsEngine(
            store,
            cast("DispatchClient", SimpleNamespace(tickets=self.tickets)),
            Workflow(
                PolicyBook([policy]), Orders({self.order_id: replace(bought, id=self.order_id)})
            ),
            Intake(Adapters.of(adapter), clock=self.clock),
            Owners(self.store, self.clock),
            workspace=lambda: WORKSPACE,
            statuses=StatusNames(),
            lease=timedelta(minutes=5),
            first_retry=timedelta(seconds=5),
            patience=timedelta(days=1),
            clock=self.clock,
        )

    def open(self, items: list[str], reason: str) -> Ticket:
        """Open a return that is approved."""
        ticket = Ticket(
            id=f"tkt_{next(_numbers)}",
            workspace_id=WORKSPACE,
            subject="Return",
            status="approved",
            custom_fields={
                "order_id": self.order_id,
                "items_to_return": items,
                "return_reason": reason,
                "payment_intent": self.order_id,
            },
        )
        self.tickets.add(ticket)
        self.store.write("enter", lambda conn: self.engine.enter(conn, ticket))
        self.work()
        return ticket

    def bring(self, ticket: Ticket, items: list[Item]) -> None:
        """Let a parcel arrive."""
        given_: dict[str, Any] = {"condition": None, "received_date": None, "who": "Bob"}
        receive(self.store, self.clock, ticket.id, lines=items, **given_)
        self.work()

    def status(self, ticket: Ticket) -> str:
        return self.tickets.get(ticket.id).status

    def is_worth_something(self, ticket: Ticket) -> bool:
        return self.tickets.get(ticket.id).custom_fields.get("refund_amount") is not None

    def put(self, ticket: Ticket, status: str, amount: Decimal | None = None) -> None:
        """Have a person set a status, and the amount if they give one of their own."""
        fields = self.tickets.get(ticket.id).custom_fields
        if amount is not None:
            known = self._receipts(ticket)
            ordinals = [r.ordinal for r in known if r.state is not receipts.ReceiptState.NOTED]
            self.own.add(ledger.refund_id(WORKSPACE, ticket.id, ordinals[-1]))
            fields = {**fields, "refund_amount": amount}
        self.tickets.update(ticket.id, status=status, custom_fields=fields)
        row = records.return_id(WORKSPACE, ticket.id)
        self.store.write("wake", lambda conn: records.wake(conn, row, self.clock()))
        self.work()

    def work(self) -> None:
        while due := self.engine.claim(10):
            for row in due:
                self.engine.advance(row)
                with self.store.read() as conn:
                    after = records.get(conn, row.id)
                assert after is not None
                assert after.error is None

    def _receipts(self, ticket: Ticket) -> list[receipts.Receipt]:
        with self.store.read() as conn:
            return receipts.of_return(conn, records.return_id(WORKSPACE, ticket.id))

    def paid(self) -> tuple[int, int]:
        """What is paid by the policy's word, in minor units, and how much of it is shipping."""
        paid = shipping = 0
        for ticket in self.opened:
            for receipt in self._receipts(ticket):
                with self.store.read() as conn:
                    row = ledger.refund_id(WORKSPACE, ticket.id, receipt.ordinal)
                    refund = None if row in self.own else ledger.get(conn, row)
                if refund is not None:
                    assert refund.state is State.REQUESTED
                    assert refund.amount is not None
                    assert refund.amount == receipt.amount
                    assert receipt.breakdown is not None
                    parts = dict(receipt.breakdown["parts"])
                    shipping += parts.get("shipping", {"minor": 0})["minor"]
                    paid += refund.amount.minor
        return paid, shipping


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with (
        open_store(tmp_path_factory.mktemp("any-order"), durable=False) as store,
        pytest.MonkeyPatch.context() as patch,
    ):
        # Here days pass between the parcels: two of one amount are not taken for the same refund.
        patch.setattr(ledger, "alike", lambda *_: [])
        yield store


class Course:
    """Returns of one order, and what happens to them, one thing after the other."""

    def __init__(self, books: Books, draw: Any) -> None:
        self.books, self._draw = books, draw
        self.left: dict[str, list[str]] = {}
        pieces = draw(st.permutations(pieces_of(books.bought)))
        whole = len(pieces)
        cuts = sorted({*draw(st.lists(st.integers(1, whole), min_size=1, max_size=2)), whole})
        for begin, end in zip([0, *cuts], cuts, strict=False):
            reason = draw(st.sampled_from(["wrong_size", "faulty"]))
            ticket = books.open(pieces[begin:end], reason)
            books.opened.append(ticket)
            self.left[ticket.id] = pieces[begin:end]

    def happens(self, *what: str) -> None:
        """Let one of `what` happen to one of the returns, where it can."""
        getattr(self, self._draw(st.sampled_from(what)))(
            self._draw(st.sampled_from(self.books.opened))
        )

    def arrives(self, ticket: Ticket) -> None:
        left = self.left[ticket.id]
        if not left or self.books.status(ticket) == Step.REJECTED:
            return
        size = self._draw(st.integers(1, len(left)))
        condition = self._draw(st.sampled_from(["new", "used", "wet"]))
        self.left[ticket.id] = left[size:]
        self.books.bring(ticket, [Item(sku, 1, condition) for sku in left[:size]])

    def is_agreed_to(self, ticket: Ticket) -> None:
        waits = self.books.status(ticket) in {Step.REVIEW, Step.RECEIVED}
        if waits and self.books.is_worth_something(ticket):
            self.books.put(ticket, "refunded")

    def is_given_an_amount(self, ticket: Ticket) -> None:
        if self.books.status(ticket) == Step.REVIEW:
            total = self.books.bought.total
            least = replace(total, minor=stripe_rule(total.currency).step)
            self.books.put(ticket, "refunded", least.major)

    def is_rejected(self, ticket: Ticket) -> None:
        self.books.put(ticket, "rejected")

    def is_taken_back(self, ticket: Ticket) -> None:
        if self.books.status(ticket) == Step.REJECTED and self.books.is_worth_something(ticket):
            statuses = ["needs_review", "item_received", "refunded"]
            self.books.put(ticket, self._draw(st.sampled_from(statuses)))

    def all_comes_back(self) -> None:
        """Let the rest arrive, and people agree to everything."""
        for ticket in self.books.opened:
            while self.left[ticket.id] and self.books.status(ticket) != Step.REJECTED:
                self.arrives(ticket)
        for _ in range(40):
            for ticket in self.books.opened:
                self.is_agreed_to(ticket)


FAULTY = {"name": "faulty", "reasons": ["faulty"]}
SHIPPING = st.sampled_from(["share", "full_return", "always"])


@settings(max_examples=50)
@given(bought=orders(), data=st.data())
def test_returns_of_an_order_are_never_paid_more_than_it_has_cost(
    store: Store, bought: Order, data: st.DataObject
) -> None:
    percent = st.sampled_from(["0%", "10%", "33.33%", "99.9999%"])
    policy = ReturnPolicy.of(
        version="1",
        shipping=data.draw(SHIPPING),
        restocking_fee=data.draw(st.none() | percent),
        condition_fees={"used": data.draw(percent)},
        refund_on_receipt=data.draw(st.booleans()),
        rules=[{**FAULTY, "shipping": data.draw(SHIPPING), "restocking_fee": "0%"}],
    )
    books = Books(store, bought, policy)
    course = Course(books, data.draw)
    whatever = ("is_agreed_to", "is_given_an_amount", "is_rejected", "is_taken_back")
    for _ in range(data.draw(st.integers(1, 12))):
        course.happens("arrives", "arrives", *whatever)
    course.all_comes_back()
    paid, shipping = books.paid()
    assert paid <= bought.total.minor
    assert shipping <= OrderFacts.of(bought).shipping


def every_piece_is_worth_something(bought: Order) -> bool:
    """One that is worth nothing is a person's to decide, and there is nothing to agree to."""
    facts = OrderFacts.of(bought)
    step = stripe_rule(bought.currency).step
    return all(article.paid >= article.quantity * step for article in facts.articles)


@settings(max_examples=30)
@given(bought=orders().filter(every_piece_is_worth_something), data=st.data())
def test_an_order_that_comes_back_whole_is_paid_to_the_last_unit(
    store: Store, bought: Order, data: st.DataObject
) -> None:
    keys = {"condition_fees": {"used": "0%"}}
    books = Books(store, bought, ReturnPolicy.of(version="1", shipping=data.draw(SHIPPING), **keys))
    course = Course(books, data.draw)
    for _ in range(data.draw(st.integers(1, 8))):
        course.happens("arrives", "arrives", "is_agreed_to")
    course.all_comes_back()
    assert books.paid()[0] == bought.total.minor
