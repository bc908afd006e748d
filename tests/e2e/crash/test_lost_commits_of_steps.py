"""A write of the six steps that fails, or whose answer is lost: each thing is done once.

Of the writes of one name the first goes wrong, and then about every other one, so that each place
where it is made is met. The next attempt is made later, by whoever claims the work then.
"""

from __future__ import annotations

import contextlib
import random
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns.client import Ticket
from dispatch_returns.errors import LabelError, OrderError, ReturnStateError, StoreUnavailableError
from dispatch_returns.refunds.transitions import State
from dispatch_returns.returns import void_label
from dispatch_returns.returns.label_records import LabelState
from dispatch_returns.returns.receipts import ReceiptState
from dispatch_returns.returns.transitions import Step
from dispatch_returns.store import Store, audit_log
from tests.e2e.crash import points
from tests.e2e.crash.walks import DECIDED, PATH, TOLD
from tests.support import postgres
from tests.support.desk import usd
from tests.support.relay import Relay, relay
from tests.support.returns import CarefulNotifier, Merchant, order
from tests.support.returns_shop import ReturnsShop
from tests.support.workshop import EMAIL

pytestmark = pytest.mark.crash


class Faults:
    """Lets writes of one name go wrong: the first, and then some, but never two in a row.

    Not simply every other one: where two queues write in turn, that would always be the same queue.
    """

    def __init__(self, store: Store, name: str, kind: str, lossy: Relay | None) -> None:
        self._write = store.write
        self._name = name
        self._kind = kind
        self._lossy = lossy
        self._coin = random.Random(name)
        self._spared = False
        self.made = 0
        store.write = self.write  # type: ignore[method-assign]

    def write(self, name: str, work: Callable[[Any], Any]) -> Any:
        if name != self._name:
            return self._write(name, work)
        if self._spared:
            self._spared = self._coin.random() < 0.5
            return self._write(name, work)
        self._spared = True
        self.made += 1
        if self._kind == "fails":
            return self._write(name, partial(_fails, work))
        if self._lossy is not None:
            self._lossy.lose_next_commit()
            return self._write(name, work)
        self._write(name, work)
        raise StoreUnavailableError("it has committed, and nobody was told")


def _fails(work: Callable[[Any], Any], conn: Any) -> None:
    work(conn)
    raise StoreUnavailableError("the disk is full")


@pytest.fixture
def lossy() -> Iterator[Relay]:
    with postgres.new_database() as url, relay(url) as lossy:
        yield lossy


def settle(shop: ReturnsShop) -> None:
    """Do what is due, again and again, until nothing is left to be done."""
    idle = 0
    while idle < 3:
        shop.clock.turn(minutes=10)
        with contextlib.suppress(StoreUnavailableError):
            idle = 0 if shop.connector.work_off() else idle + 1


def insisting(act: Callable[[], Any]) -> Any:
    """Do what a person does who is told that it could not be done."""
    try:
        return act()
    except StoreUnavailableError:
        return act()


def arrives(shop: ReturnsShop, ticket: Ticket) -> None:
    shop.event(ticket.id)
    settle(shop)


def ask(shop: ReturnsShop) -> Ticket:
    """Open a return, and let it go as far as it goes by itself."""
    shop.fake.add_payment("pi_1", usd("1000.00"))
    key = uuid.uuid4().hex
    ticket: Ticket = insisting(
        lambda: shop.connector.returns.request(
            order_id="1234",
            items=["SKU-001"],
            reason="wrong_size",
            customer_email=EMAIL,
            fields={"payment_intent": "pi_1"},
            key=key,
        )
    )
    arrives(shop, ticket)
    return ticket


# What a return goes through, and what there must be of it in the end.


def paid(shop: ReturnsShop) -> None:
    """A return from its request to the money."""
    ticket = ask(shop)
    insisting(
        lambda: shop.connector.returns.receive(ticket.id, condition="good", who="Bob", key="gate")
    )
    settle(shop)
    arrives(shop, ticket)
    assert shop.status(ticket) == "refunded"
    (label,), (receipt,), (refund,) = (
        shop.labels(ticket),
        shop.receipts(ticket),
        shop.refunds(ticket),
    )
    assert label.state is LabelState.BOUGHT
    assert receipt.state is ReceiptState.ACCEPTED
    assert (refund.ordinal, refund.state) == (1, State.SUCCEEDED)
    assert [it.amount for it in shop.fake.refunds] == [usd("149.00")]
    decided = shop.story(ticket)
    assert [it for it in decided if not it.startswith("status ")] == DECIDED
    assert [it for it in decided if it.startswith("status ")] == [
        f"status {step}" for step in ("return_requested", *PATH)
    ]
    walked(shop, ticket, PATH, TOLD)


def rejected(shop: ReturnsShop) -> None:
    """A return that has its label, and is rejected after all."""
    ticket = ask(shop)
    shop.set(ticket, "rejected")
    arrives(shop, ticket)
    assert [it.state for it in shop.labels(ticket)] == [LabelState.VOIDED]
    assert set(shop.merchant.labels.voided) == {"label_1"}
    assert shop.story(ticket)[-2:] == ["status rejected", "label voided"]
    walked(shop, ticket, [*PATH[:3], "rejected"], [*TOLD[:3], "rejected"])


def refused(shop: ReturnsShop) -> None:
    """A return whose label is refused at first."""
    shop.merchant.labels.error = LabelError("away", retryable=True)
    ticket = ask_only(shop)
    shop.merchant.labels.error = None
    settle(shop)
    walked(shop, ticket, PATH[:3], TOLD[:3])


def unknown_order(shop: ReturnsShop) -> None:
    """A return whose order cannot be read at first."""
    shop.merchant.orders.error = OrderError("away", retryable=True)
    ticket = ask_only(shop)
    shop.merchant.orders.error = None
    settle(shop)
    walked(shop, ticket, PATH[:3], TOLD[:3])


def ask_only(shop: ReturnsShop) -> Ticket:
    """Open a return, and look at it a few times."""
    ticket = shop.ask_only("SKU-001")
    for _ in range(3):
        try:
            shop.work(minutes=10)
        except StoreUnavailableError:
            pytest.fail("what is claimed fails alone, and is logged")
    return ticket


def gone(shop: ReturnsShop) -> None:
    """A return whose ticket is deleted."""
    ticket = ask(shop)
    shop.client.tickets.delete(ticket.id)
    shop.event(ticket.id, kind="ticket.deleted")
    settle(shop)
    assert shop.row(ticket).step is Step.GONE
    assert shop.story(ticket)[-1] == "status deleted"
    assert shop.story(ticket).count("status deleted") == 1


def given_back(shop: ReturnsShop) -> None:
    """A return whose label a person gives back, at the second attempt."""
    ticket = ask(shop)

    def void() -> None:
        void_label.void(
            shop.store, shop.merchant.labels, shop.clock, ticket.id, who="Ann", why="Wrong size."
        )

    shop.merchant.labels.error = LabelError("not now")
    for _ in range(2):
        with pytest.raises((LabelError, StoreUnavailableError)):
            void()
        shop.clock.turn(minutes=10)
    shop.merchant.labels.error = None
    for _ in range(2):
        shop.clock.turn(minutes=10)
        with contextlib.suppress(StoreUnavailableError, ReturnStateError):
            void()  # the second time it is voided already, where only the answer was lost
    settle(shop)
    assert [it.state for it in shop.labels(ticket)] == [LabelState.VOIDED]
    assert shop.story(ticket).count("label voided") == 1
    with shop.store.read() as conn:
        assert [it.action for it in audit_log.newest(conn, limit=9)] == ["void"]
    walked(shop, ticket, PATH[:3], TOLD[:3])


def agreed_to(shop: ReturnsShop) -> None:
    """A return of another customer's order, to which a person agrees."""
    shop.merchant.orders.known["1234"] = replace(order(), customer_email="j@x.test")
    ticket = ask(shop)
    assert shop.status(ticket) == "needs_review"
    shop.set(ticket, "approved")
    arrives(shop, ticket)
    assert shop.status(ticket) == "label_sent"
    assert shop.story(ticket).count("owner approved") == 1
    assert len(shop.labels(ticket)) == 1


def late_notification(shop: ReturnsShop) -> None:
    """A return of which the customer cannot be told at first."""
    shop.fault(status=503, times=4, match={"path": "*/comments"})
    ticket = ask(shop)
    walked(shop, ticket, PATH[:3], TOLD[:3])


def late_event(shop: ReturnsShop) -> None:
    """A return whose ticket cannot be read at first."""
    shop.fault(status=503, times=2, match={"method": "GET", "path": "*/tickets/*"})
    ticket = ask(shop)
    walked(shop, ticket, PATH[:3], TOLD[:3])


def walked(shop: ReturnsShop, ticket: Ticket, path: list[str], told: list[str]) -> None:
    """Each status once on the ticket, one label, one file, and each note and notification once."""
    comments = shop.client.comments.list(ticket.id)
    assert [c.body.split()[-1] for c in comments if c.author_type == "SYSTEM"] == path
    assert set(Counter(c.body for c in comments if c.internal).values()) == {1}
    assert [it.key for it in shop.merchant.labels.bought] == [it.id for it in shop.labels(ticket)]
    assert len(shop.client.attachments.list(ticket.id)) == 1
    assert sorted(shop.merchant.notifier.kinds) == sorted(told)


SCENARIOS: dict[str, list[Callable[[ReturnsShop], None]]] = {
    "event.claim": [paid],
    "event.done": [paid],
    "event.postpone": [late_event],
    "label.attached": [paid],
    "label.bought": [paid],
    "label.buying": [paid],
    "label.kept": [given_back],
    "label.not_bought": [refused],
    "label.take": [given_back],
    "label.uploading": [paid],
    "label.voided": [given_back],
    "label.wanted": [paid],
    "message.claim": [paid],
    "message.done": [paid],
    "message.postpone": [late_notification],
    "refund.claim": [paid],
    "refund.outcome": [paid],
    "refund.sending": [paid],
    "return.claim": [paid],
    "return.decided": [paid, rejected],
    "return.enter": [paid],
    "return.gone": [gone],
    "return.moved": [paid, rejected],
    "return.owner": [agreed_to],
    "return.postpone": [unknown_order],
    "return.receive": [paid],
}
CASES = [
    pytest.param(name, scenario, id=f"{name}-{scenario.__name__}")
    for name, scenarios in SCENARIOS.items()
    for scenario in scenarios
]
NOT_OF_RETURNS = {
    "event.left", "event.set_aside", "event.thin", "event.unreadable", "inbox.accept", "label.thin",
    "message.keep", "reconcile.claim",
    "reconcile.done", "reconcile.fix", "refund.*", "refund.enter", "refund.postpone",
}  # fmt: skip
"""What no return comes to on its six steps."""


def test_every_write_of_the_steps_goes_wrong_in_a_test() -> None:
    assert set(SCENARIOS) == points.writes() - NOT_OF_RETURNS


Open = Callable[..., ReturnsShop]


@pytest.fixture
def open_shop(workspace: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[Open]:
    with contextlib.ExitStack() as stack:

        def opened(**given: Any) -> ReturnsShop:
            merchant = Merchant(notifier=CarefulNotifier())
            shop = ReturnsShop(workspace, tmp_path, merchant, **given)
            stack.callback(shop.close)
            return shop

        yield opened


@pytest.mark.parametrize(("name", "scenario"), CASES)
@pytest.mark.parametrize("kind", ["fails", "lost"])
def test_a_write_that_goes_wrong_leaves_each_thing_done_once(
    open_shop: Open, kind: str, name: str, scenario: Callable[[ReturnsShop], None]
) -> None:
    shop = open_shop()
    faults = Faults(shop.store, name, kind, None)
    scenario(shop)
    assert faults.made, f"{name} is not on the way"


@pytest.mark.long
@pytest.mark.parametrize(("name", "scenario"), CASES)
def test_a_commit_without_an_answer_leaves_each_thing_done_once(
    open_shop: Open, lossy: Relay, name: str, scenario: Callable[[ReturnsShop], None]
) -> None:
    shop = open_shop(store=Store.open(lossy.url))
    faults = Faults(shop.store, name, "lost", lossy)
    scenario(shop)
    assert lossy.lost == faults.made > 0
