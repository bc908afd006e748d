"""A label given back by hand: at the provider once, recorded with who and why."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

import dispatch_sandbox
from dispatch_returns.errors import (
    ConfigurationError,
    InvalidArgumentError,
    LabelError,
    ReturnStateError,
)
from dispatch_returns.returns import label_records, records
from dispatch_returns.returns.label_records import LabelState
from dispatch_returns.returns.void_label import Voided, void
from dispatch_returns.store import Store, audit_log
from tests.support.returns_shop import ReturnsShop
from tests.support.stores import overwrite_label


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[ReturnsShop]:
    shop = ReturnsShop(box, tmp_path)
    yield shop
    shop.close()


def give_back(shop: ReturnsShop, text: str, who: str = "Bob", why: str = "torn") -> Voided:
    return void(shop.store, shop.merchant.labels, shop.clock, text, who=who, why=why)


def test_a_label_is_given_back_with_who_and_why_and_another_can_be_made(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    due_at = shop.row(ticket).due_at
    done = give_back(shop, shop.row(ticket).number)
    assert shop.merchant.labels.voided == ["label_1"]
    assert done.label.state is LabelState.VOIDED
    assert done.said == (
        "Label label_1 was voided; its cost is refunded. Set the ticket to approved to make another"
        " label."
    )
    decision = shop.decisions(ticket)[-1]
    assert (decision.kind, decision.outcome, decision.who) == ("label", "voided", "Bob")
    assert decision.why == "Label label_1 was voided; its cost is refunded. Why: torn"
    with shop.store.read() as conn:
        (act,) = audit_log.newest(conn, limit=5)
    assert (act.action, act.who, act.why) == ("void", "Bob", "torn")
    assert act.subject == f"label label_1 of {ticket.id}"
    assert (done.row.due_at, done.row.working) == (due_at, False), "the timers go on"
    shop.work()
    assert shop.notes(ticket)[-1] == (
        "Label label_1 was voided; its cost is refunded. By Bob: torn. Set the ticket to approved"
        f" to make another label. (Return {done.row.number})"
    )
    shop.put(ticket, "approved")
    assert [it.state for it in shop.labels(ticket)] == [LabelState.VOIDED, LabelState.BOUGHT]
    shop.put(ticket, "rejected")
    assert shop.merchant.labels.voided == ["label_1", "label_2"], "one of them twice"


def test_it_is_given_back_once_whoever_asks_again(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    give_back(shop, ticket.id)
    with pytest.raises(ReturnStateError, match=r"was voided on 2024-01-15: set the ticket to"):
        give_back(shop, ticket.id)
    shop.put(ticket, "rejected")
    assert shop.merchant.labels.voided == ["label_1"]


def test_many_at_once_give_it_back_once(shop: ReturnsShop) -> None:
    ticket = shop.ask()

    def one(number: int) -> str:
        try:
            give_back(shop, ticket.id, who=f"person {number}")
        except ReturnStateError as error:
            return "dealt with" if "is being processed" in str(error) else "voided"
        return "done"

    with ThreadPoolExecutor(8) as pool:
        came = list(pool.map(one, range(8)))
    assert came.count("done") == 1
    assert shop.merchant.labels.voided == ["label_1"]


def test_a_return_that_a_worker_holds_is_left_to_it(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    shop.put(ticket, "needs_review")
    with shop.store.read() as conn:
        assert records.get(conn, shop.row(ticket).id) is not None
    shop.store.write("wake", lambda conn: records.wake(conn, shop.row(ticket).id, shop.clock()))
    (held,) = shop.store.write(
        "claim", lambda conn: records.claim(conn, shop.clock(), timedelta(minutes=3), 5)
    )
    with pytest.raises(ReturnStateError, match="is being processed: try again in a minute"):
        give_back(shop, ticket.id)
    assert shop.merchant.labels.voided == []
    shop.clock.turn(minutes=4)
    give_back(shop, ticket.id)
    assert shop.merchant.labels.voided == ["label_1"], "the worker is dead"
    with pytest.raises(Exception, match="claimed by another worker"):
        shop.store.write("late", lambda conn: records.release(conn, held, shop.clock(), None))


def test_what_happens_to_the_ticket_meanwhile_is_not_missed(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    box_of = shop.merchant.labels

    class Slow:
        name = "fake"

        def void(self, label_id: str) -> bool:
            shop.set(ticket, "rejected")
            shop.event(ticket.id)
            shop.work()
            return box_of.void(label_id)

    void(shop.store, Slow(), shop.clock, ticket.id, who="Bob", why="torn")  # type: ignore[arg-type]
    shop.work()
    assert shop.row(ticket).step == "rejected"
    assert box_of.voided == ["label_1"]


@pytest.mark.parametrize("unknown", [True, False])
def test_where_the_provider_does_not_say_yes_the_label_stands_and_it_can_be_repeated(
    shop: ReturnsShop, unknown: bool
) -> None:
    ticket = shop.ask()
    shop.merchant.labels.error = LabelError("no answer came", retryable=True, unknown=unknown)
    with pytest.raises(LabelError, match="no answer came"):
        give_back(shop, ticket.id)
    (label,) = shop.labels(ticket)
    assert (label.state, label.error) == (
        LabelState.BOUGHT,
        "It was not voided: no answer came",
    )
    assert shop.row(ticket).working is False
    shop.merchant.labels.error = None
    assert give_back(shop, ticket.id).label.error is None
    assert shop.merchant.labels.voided == ["label_1"]


def test_after_a_crash_it_is_repeated(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    broken = KeyboardInterrupt()

    def write(name: str, work: object) -> object:
        if name == "label.voided":
            raise broken
        return shop.store.write(name, work)  # type: ignore[arg-type]

    store = type("Dies", (), {"write": staticmethod(write)})()
    with pytest.raises(KeyboardInterrupt):
        void(store, shop.merchant.labels, shop.clock, ticket.id, who="Bob", why="torn")
    shop.clock.turn(minutes=6)
    assert give_back(shop, ticket.id).label.state is LabelState.VOIDED
    assert len([it for it in shop.decisions(ticket) if it.who == "Bob"]) == 1


def test_a_cost_that_does_not_come_back_is_said(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    shop.merchant.labels.comes_back = False
    done = give_back(shop, ticket.id)
    assert done.label.state is LabelState.NOT_VOIDED
    assert "its cost is not refunded" in done.said


def test_an_expired_label_is_not_given_back(shop: ReturnsShop) -> None:
    shop.merchant.labels.expires_at = shop.clock() + timedelta(days=1)
    ticket = shop.ask()
    shop.clock.turn(days=2)
    assert give_back(shop, ticket.id).label.state is LabelState.EXPIRED
    assert shop.merchant.labels.voided == []
    with pytest.raises(ReturnStateError, match="has expired"):
        give_back(shop, ticket.id)


def _set(store: Store, row_id: str, state: LabelState) -> None:
    def write(conn: Connection) -> None:
        (label,) = label_records.of_return(conn, row_id)
        overwrite_label(conn, label.id, state=state, error="away")

    store.write("test.set", write)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (LabelState.WANTED, r"was not bought yet \(away\)"),
        (LabelState.BUYING, r"it is not known yet whether the label of .* was bought \(away\)"),
        (LabelState.UNKNOWN, "it is not known yet"),
        (LabelState.NOT_VOIDED, "was given up on"),
    ],
)
def test_what_was_not_certainly_bought_is_not_given_back(
    shop: ReturnsShop, state: LabelState, said: str
) -> None:
    ticket = shop.ask()
    _set(shop.store, shop.row(ticket).id, state)
    with pytest.raises(ReturnStateError, match=said):
        give_back(shop, ticket.id)
    assert shop.merchant.labels.voided == []
    assert shop.row(ticket).working is False


def test_mistakes_are_said(shop: ReturnsShop) -> None:
    shop.merchant.rules.outcome = type(shop.merchant.rules.outcome).REVIEW
    ticket = shop.ask()
    with pytest.raises(ReturnStateError, match="has no label: it is needs_review"):
        give_back(shop, ticket.id)
    with pytest.raises(ReturnStateError, match="there is no return tkt_nope"):
        give_back(shop, "tkt_nope")
    with pytest.raises(InvalidArgumentError, match="a name and a reason"):
        give_back(shop, ticket.id, why=" ")


def test_a_label_of_another_provider_is_left_alone(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    shop.merchant.labels.name = "other"
    with pytest.raises(
        ConfigurationError, match="is of fake, but DISPATCH_RETURNS_LABELS is other"
    ):
        give_back(shop, ticket.id)
    assert shop.merchant.labels.voided == []
