"""Wherever a worker dies in the six steps: one label, decision, notification and refund each.

At most points a worker "dies" by an exception that nothing catches: what it leaves behind, in
the store and with others, is what a killed process leaves. The points around what costs money
are done with a killed process as well.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import dispatch_sandbox
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.settings import Settings
from dispatch_returns.store import Store
from dispatch_returns.testing import FakeAdapter
from tests.e2e.crash import merchant
from tests.e2e.crash.points import RETURNS_POINTS, points
from tests.e2e.crash.returns import Place, Processor
from tests.e2e.crash.walks import Walk, begin
from tests.e2e.crash.worker import Orders, arm, run
from tests.support.desk import usd
from tests.support.stores import open_store

pytestmark = pytest.mark.crash

_AFTER_ALL_LEASES = 600.0
_PROCESSES = multiprocessing.get_context("forkserver")
_KILLED = [
    *points({"labels.buy"}),
    "after tickets.update",
    "after adapter.refund",
]


class Dead(BaseException):
    """A worker has died."""


def _die() -> None:
    raise Dead


def _work(walk: Walk, store: Store, point: str | None = None) -> None:
    """Work off what is due, in this process; with a `point`, die there, and let another go on."""
    assert walk.adapter is not None
    parts = merchant.parts(walk.folder)
    ahead = timedelta(seconds=walk.ahead)
    connector = Connector(
        Settings(**walk.settings),
        store=_Shared(store),
        adapters=walk.adapter,
        workflow=parts,
        clock=lambda: datetime.now(UTC) + ahead,
    )
    if point is not None:
        arm(connector, point, _die, parts)
    try:
        connector.work_off()
    except Dead:
        walk.died += 1
        walk.ahead += _AFTER_ALL_LEASES
        _disarm(walk.adapter)
        _work(walk, store)
    finally:
        connector.client.close()


def _disarm(adapter: FakeAdapter) -> None:
    """The next worker's processor does not kill."""
    for name in ("payment", "refund"):
        vars(adapter).pop(name, None)


class _Shared(Store):
    """A store whose `write` a test may replace, while others go on with the one behind it."""

    def __init__(self, store: Store) -> None:
        self.__dict__ = dict(store.__dict__)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path, durable=False) as store:
        yield store


_AT_THE_RECEIPT = {
    "adapter.payment",
    "adapter.refund",
    "orders.order",
    "refund.claim",
    "refund.outcome",
    "refund.sending",
    "return.claim",
    "return.decided",
    "return.moved",
    "tickets.update",
}
_AT_THE_REQUEST = {point.split(" ")[1] for point in RETURNS_POINTS} - {
    "adapter.payment",
    "adapter.refund",
    "refund.claim",
    "refund.outcome",
    "refund.sending",
}
_ELSEWHERE_TOO = {
    "comments.create",
    "event.claim",
    "event.done",
    "message.claim",
    "message.done",
    "tickets.get",
}
"""Where the tests of refunds kill as well: here in the long run alone."""
_PLACES = [
    *(("request", point) for point in points(_AT_THE_REQUEST)),
    *(("receipt", point) for point in points(_AT_THE_RECEIPT)),
]


def _marked(phase: str, point: str) -> object:
    both_ways = point.split(" ")[1] in _ELSEWHERE_TOO
    return pytest.param(phase, point, marks=[pytest.mark.long] if both_ways else [])


def test_every_point_is_met() -> None:
    assert {point for _, point in _PLACES} == set(RETURNS_POINTS)


@pytest.mark.parametrize(("phase", "point"), [_marked(*place) for place in _PLACES])
def test_a_worker_that_dies_leaves_each_thing_done_once(
    workspace: dispatch_sandbox.Sandbox, store: Store, tmp_path: Path, phase: str, point: str
) -> None:
    walk = begin(workspace, tmp_path, "sqlite:///unused.db", payment_intent="pi_1")
    walk.adapter = FakeAdapter(
        {"pi_1": usd("500.00")},
        clock=lambda: datetime.now(UTC) + timedelta(seconds=walk.ahead),
    )
    walk.event(store)
    _work(walk, store, point if phase == "request" else None)
    walk.receive()
    walk.event(store)
    _work(walk, store, point if phase == "receipt" else None)
    walk.event(store)
    _work(walk, store)
    assert walk.died == 1
    walk.was_done_once(store)
    assert [r.amount for r in walk.adapter.refunds] == [usd("149.00")]


@pytest.mark.parametrize("point", _KILLED)
def test_a_killed_worker_leaves_each_thing_done_once(
    workspace: dispatch_sandbox.Sandbox, stand_in: Processor, tmp_path: Path, point: str
) -> None:
    place = Place(f"sqlite:///{tmp_path}/returns.db", workspace, stand_in)
    payment = place.processor.pay()
    walk = begin(workspace, tmp_path, place.database_url, **payment)
    processor = {"api_key": place.processor.key, "base_url": place.processor.url}
    walk.settings["adapter_options"] = {"stripe": processor}
    at_receipt = point.endswith("adapter.refund")
    with Store.open(place.database_url) as store:
        walk.event(store)
    _work_in_a_process(walk, None if at_receipt else point)
    walk.receive()
    with Store.open(place.database_url) as store:
        walk.event(store)
    _work_in_a_process(walk, point if at_receipt else None)
    assert walk.died == 1
    with Store.open(place.database_url) as store:
        walk.was_done_once(store)
    (refund,) = place.processor.refunds(payment)
    assert refund["amount"] == 14900


def _work_in_a_process(walk: Walk, point: str | None) -> None:
    process = _PROCESSES.Process(
        target=run, args=(Orders(walk.settings, point, walk.ahead, walk.folder),)
    )
    process.start()
    process.join(60)
    if point is None:
        assert process.exitcode == 0
        return
    assert process.exitcode == -signal.SIGKILL
    walk.died += 1
    walk.ahead += _AFTER_ALL_LEASES
    _work_in_a_process(walk, None)
