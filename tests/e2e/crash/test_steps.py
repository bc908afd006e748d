"""Wherever a worker dies on the way of the six steps: one label, decision, notice, refund each.

At most points a worker "dies" by an exception that nothing catches: what it leaves behind, in
the store and with others, is what a killed process leaves. The points around what costs money
are done with a killed process as well.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from dispatch_returns import sandbox
from dispatch_returns.connector import Connector
from dispatch_returns.settings import Settings
from dispatch_returns.store import NewEvent, Store, inbox, labels, ledger, receipts, returns
from dispatch_returns.store.labels import LabelState
from dispatch_returns.store.ledger import State
from dispatch_returns.testing import FakeAdapter
from dispatch_returns.workflow.steps.statuses import STEPS
from tests.e2e.crash import merchant
from tests.e2e.crash.points import RETURNS_POINTS, points
from tests.e2e.crash.returns import Place, Processor, client_of
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
TOLD = ["requested", "approved", "label_sent", "received", "refunded"]
PATH = ["eligibility_check", "approved", "label_sent", "item_received", "refunded"]
DECIDED = [
    "eligibility approve",
    "label sent",
    "receipt settled",
    "receipt accepted",
]


class Dead(BaseException):
    """A worker has died."""


def _die() -> None:
    raise Dead


@pytest.fixture(scope="module")
def workspace(dispatch: sandbox.Sandbox) -> sandbox.Sandbox:
    with client_of(dispatch) as client:
        there = {status.key for status in client.statuses.list()}
        for key in STEPS:
            if key not in there:
                client.statuses.create(key=key, name=key)
    return dispatch


@dataclass
class Walk:
    """One return, from its request to the money, by workers that may die."""

    dispatch: sandbox.Sandbox
    folder: Path
    database_url: str
    settings: dict[str, Any]
    ticket_id: str
    adapter: FakeAdapter | None = None
    ahead: float = 0.0
    died: int = 0
    events: int = field(default=0)

    def event(self, store: Store) -> None:
        """Let an event about the ticket arrive."""
        self.events += 1
        now, event_id = datetime.now(UTC), f"evt_{self.ticket_id}_{self.events}"
        envelope = {
            "id": event_id,
            "event": "ticket.updated",
            "brand_id": sandbox.WORKSPACE,
            "data": {"id": self.ticket_id, "changes": ["status"]},
            "timestamp": now.isoformat(),
        }
        new = NewEvent(
            "dispatch",
            event_id,
            "ticket.updated",
            sandbox.WORKSPACE,
            self.ticket_id,
            json.dumps(envelope).encode(),
            now,
        )
        store.write("inbox.accept", lambda conn: inbox.add(conn, new, now))

    def receive(self) -> None:
        """The warehouse's own system says that the parcel is there, as the guide does."""
        with client_of(self.dispatch) as client:
            fields = client.tickets.get(self.ticket_id).custom_fields
            client.tickets.update(
                self.ticket_id,
                status="item_received",
                custom_fields={**fields, "received_date": "2024-01-15", "condition": "good"},
            )

    def was_done_once(self, store: Store) -> None:
        """Look at everything that was made, bought, told and paid."""
        with store.read() as conn:
            (row,) = returns.matching(conn, self.ticket_id, limit=2)
            (label,) = labels.of_return(conn, row.id)
            (receipt,) = receipts.of_return(conn, row.id)
            (refund,) = ledger.newest(conn, limit=9, ticket_id=self.ticket_id)
            decided = [f"{it.kind} {it.outcome}" for it in returns.decisions_of(conn, row.id)]
        assert merchant.lines(self.folder / "labels") == [label.id]
        assert label.state is LabelState.BOUGHT
        assert (receipt.ordinal, refund.ordinal, refund.state) == (1, 1, State.SUCCEEDED)
        assert [it for it in decided if not it.startswith("status ")] == DECIDED
        assert [it for it in decided if it.startswith("status ")] == [
            "status return_requested",
            *(f"status {step}" for step in PATH),
        ]
        told = [line.split()[0] for line in merchant.lines(self.folder / "notices")]
        assert sorted(told) == sorted(TOLD)
        with client_of(self.dispatch) as client:
            assert client.tickets.get(self.ticket_id).status == "refunded"
            comments = client.comments.list(self.ticket_id)
            files = [it.filename for it in client.attachments.list(self.ticket_id)]
        assert files == [f"return-label-{row.number}-1.pdf"]
        path = [c.body.split()[-1] for c in comments if c.author_type == "SYSTEM"]
        assert path == PATH
        notes = Counter(c.body for c in comments if c.internal)
        assert set(notes.values()) == {1}


def _begin(dispatch: sandbox.Sandbox, folder: Path, url: str, **fields: Any) -> Walk:
    with client_of(dispatch) as client:
        ticket = client.tickets.create(
            subject="Return Request - Order #1234",
            customer_email="jane@example.com",
            status="return_requested",
            custom_fields={"order_id": "1234", "items_to_return": ["SKU-001"], **fields},
        )
    settings = {
        "api_key": sandbox.API_KEY,
        "workspace": sandbox.WORKSPACE,
        "base_url": dispatch.api_url,
        "database_url": url,
    }
    return Walk(dispatch, folder, url, settings, ticket.id)


def _work(walk: Walk, store: Store, point: str | None = None) -> None:
    """Work off what is due, in this process; with a `point`, die there, and let another go on."""
    assert walk.adapter is not None
    parts = merchant.parts(walk.folder)
    ahead = timedelta(seconds=walk.ahead)
    connector = Connector(
        Settings(**walk.settings),
        store=_Shared(store),
        adapter=walk.adapter,
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
    workspace: sandbox.Sandbox, store: Store, tmp_path: Path, phase: str, point: str
) -> None:
    walk = _begin(workspace, tmp_path, "sqlite:///unused.db", payment_intent="pi_1")
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
    workspace: sandbox.Sandbox, stand_in: Processor, tmp_path: Path, point: str
) -> None:
    place = Place(f"sqlite:///{tmp_path}/returns.db", workspace, stand_in)
    payment = place.processor.pay()
    walk = _begin(workspace, tmp_path, place.database_url, **payment)
    walk.settings["adapter_options"] = {
        "api_key": place.processor.key,
        "base_url": place.processor.url,
    }
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
