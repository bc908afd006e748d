"""What is stored of one customer is shown whole, and removed where the books need it no longer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

import dispatch_sandbox
from dispatch_returns.connector import customers
from dispatch_returns.connector.retention import KEEP_ADDRESSES, Retention
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import audit_log
from dispatch_returns.store.schema import metadata
from tests.support.desk import NOW
from tests.support.returns_shop import ReturnsShop
from tests.support.workshop import EMAIL


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path) -> Iterator[ReturnsShop]:
    shop = ReturnsShop(box, tmp_path)
    yield shop
    shop.close()


def walked(shop: ReturnsShop) -> str:
    """Have a return that was paid back; return its ticket's id."""
    ticket = shop.ask()
    shop.connector.returns.receive(ticket.id, condition="good", who="Bob")
    shop.work()
    return ticket.id


def everything(shop: ReturnsShop) -> bytes:
    """All that stands in any table."""
    with shop.store.read() as conn:
        rows = [
            [it if isinstance(it, bytes) else str(it).encode() for it in row]
            for table in metadata.sorted_tables
            for row in conn.execute(select(table))
        ]
    return b"\n".join(b"\t".join(row) for row in rows)


def erase(shop: ReturnsShop) -> customers.Erased:
    return customers.erase(shop.store, EMAIL, NOW, who="ann", why="asked by letter")


def test_what_is_stored_of_a_customer_is_shown_whole(shop: ReturnsShop) -> None:
    ticket = walked(shop)
    found = customers.export(shop.store, EMAIL.upper())
    json.dumps(found, default=str)
    assert {it["ticket_id"] for it in found["refunds"]} == {ticket}
    assert all(found[name] for name in ("events", "returns", "labels", "refunds", "messages"))
    assert customers.export(shop.store, "other@example.com")["refunds"] == []


def test_after_an_erasure_no_table_names_the_customer(shop: ReturnsShop) -> None:
    walked(shop)
    assert EMAIL.encode() in everything(shop)
    done = erase(shop)
    assert (done.kept, done.removed["labels"], done.removed["refunds"]) == ((), 1, 1)
    left = everything(shop)
    assert EMAIL.encode() not in left
    assert b"%PDF" not in left
    assert erase(shop).removed == dict.fromkeys(done.removed, 0)


def test_an_erasure_leaves_the_books_and_is_recorded_without_the_address(
    shop: ReturnsShop,
) -> None:
    ticket = shop.now(shop.ask())
    shop.connector.returns.receive(ticket.id, condition="good", who="Bob")
    shop.work()
    (before,) = shop.refunds(ticket)
    erase(shop)
    (after,) = shop.refunds(ticket)
    assert (after.id, after.amount, after.state) == (before.id, before.amount, before.state)
    with shop.store.read() as conn:
        (act, *_) = audit_log.newest(conn, limit=1)
    assert (act.action, act.who, act.why) == ("erase customer", "ann", "asked by letter")
    assert EMAIL not in (act.subject or "")


def test_what_is_under_way_stays_until_it_is_over(shop: ReturnsShop) -> None:
    ticket = shop.ask()
    done = erase(shop)
    assert done.kept == (shop.row(ticket).id,)
    assert shop.labels(ticket)[0].pdf is not None
    shop.connector.returns.receive(ticket.id, condition="good", who="Bob")
    shop.work()
    assert shop.refunds(ticket)[0].state == State.SUCCEEDED
    assert erase(shop).kept == ()


def test_old_labels_and_addresses_go_by_themselves(shop: ReturnsShop) -> None:
    ticket = shop.now(shop.ask())
    shop.connector.returns.receive(ticket.id, condition="good", who="Bob")
    shop.work()
    for _ in range(6):  # it is looked up again for weeks, and rests then
        shop.work(days=30)
    shop.clock.turn(days=KEEP_ADDRESSES.days + 1)
    retention = Retention(shop.store, KEEP_ADDRESSES, shop.clock)
    retention.thin(*retention.claim(1))
    assert shop.labels(ticket)[0].pdf is None
    assert shop.refunds(ticket)[0].instructions_email is None
