"""A processor that cannot be asked: its adapter is gone, its key was revoked. The probe says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dispatch_sandbox
from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds.adapter import RefundStatus
from dispatch_returns.refunds.processors import Adapters
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store, switches
from dispatch_returns.store.switches import Switch
from dispatch_returns.testing import FakeAdapter
from tests.support.workshop import Workshop


@pytest.fixture
def shop(box: dispatch_sandbox.Sandbox, tmp_path: Path, any_store: Store) -> Iterator[Workshop]:
    shop = Workshop(box, tmp_path, store=any_store, reconcile_every=0)
    yield shop
    shop.close()


def lag(shop: Workshop) -> tuple[bool, Any]:
    report = shop.connector.health.lag()
    return report.ok, report.document.get("problem")


def revoke(shop: Workshop, monkeypatch: pytest.MonkeyPatch, *calls: str) -> None:
    def refused(*_: object) -> Any:
        raise AdapterError(ErrorKind.AUTH, "the key is not accepted (req_1)")

    for call in calls:
        monkeypatch.setattr(shop.fake, call, refused)


def test_a_refund_whose_adapter_is_gone_is_said_and_looked_at_ever_less_often(
    box: dispatch_sandbox.Sandbox, tmp_path: Path, shop: Workshop
) -> None:
    shop.fake.first_status = RefundStatus.PENDING
    ticket = shop.ticket()
    shop.run(ticket)
    other = FakeAdapter({}, clock=shop.clock)
    other.name = "other"
    shop.connector.refunds.adapters = Adapters.of(other)
    waits: list[float] = []
    for _ in range(12):
        refund = shop.refund(ticket)
        assert refund is not None
        assert refund.due_at is not None
        shop.clock.now = max(refund.due_at, shop.clock.now)
        shop.connector.work_off()
        row = shop.refund(ticket)
        assert row is not None
        assert row.due_at is not None
        waits.append((row.due_at - shop.clock()).total_seconds())
    assert waits == sorted(waits)
    assert (waits[0], waits[-1]) == (60, 3600)
    ok, problem = lag(shop)
    assert not ok
    assert problem.startswith("1 refunds wait for an adapter that is not set: run a worker with")
    shop.connector.refunds.adapters = Adapters.of(shop.fake)
    shop.fake.set_status("fake_1", RefundStatus.SUCCEEDED)
    shop.work(hours=1)
    assert lag(shop) == (True, None)


@pytest.mark.parametrize("when", ["at the check", "at the call", "when it is looked up"])
def test_a_revoked_key_is_said_until_another_one_is_accepted(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    if when == "when it is looked up":
        shop.fake.first_status = RefundStatus.PENDING
    calls = {"at the check": "payment", "at the call": "refund", "when it is looked up": "find"}
    revoke(shop, monkeypatch, calls[when])
    ticket = shop.ticket()
    shop.run(ticket)
    assert lag(shop)[0], "it may be a moment's trouble"
    for _ in range(4):
        shop.work(minutes=5)
    ok, problem = lag(shop)
    assert not ok
    assert "wait, because the payment processor or the API can't be reached" in problem
    assert "no key was revoked. Run: dispatch-returns doctor" in problem
    assert "req_1" not in problem
    monkeypatch.undo()
    shop.fake.first_status = RefundStatus.SUCCEEDED
    shop.work(hours=1)
    assert lag(shop) == (True, None)
    row = shop.refund(ticket)
    assert row is not None
    assert row.state in {State.SUCCEEDED, State.PENDING}


def test_what_waits_for_the_kill_switch_is_no_trouble_of_the_processors(shop: Workshop) -> None:
    shop.fake.fail_next(AdapterError(ErrorKind.NOT_SENT, "no network"))
    shop.run(shop.ticket())
    now = shop.clock()
    shop.store.write(
        "throw",
        lambda conn: switches.throw(conn, Switch.KILL, now, is_on=True, who="Ann", why="a look"),
    )
    for _ in range(3):
        shop.work(minutes=5)
    assert lag(shop) == (True, None)
