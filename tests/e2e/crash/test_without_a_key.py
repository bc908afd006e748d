"""A worker dies while a processor without keys makes a refund: nothing is paid by guess."""

from __future__ import annotations

import signal

import pytest

from dispatch_returns.refunds import ledger
from dispatch_returns.refunds.guard import Reason
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store
from tests.e2e.crash.returns import Place, a_return_that_became_refunded
from tests.e2e.crash.test_crash import AFTER_ALL_LEASES, work
from tests.e2e.crash.worker import Orders

pytestmark = pytest.mark.crash


@pytest.fixture(params=["woocommerce", "braintree"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def test_a_worker_that_dies_after_the_call_leaves_exactly_one_refund(place: Place) -> None:
    returned = a_return_that_became_refunded(place)
    assert work(Orders(returned.settings, die_at="after adapter.refund")) == -signal.SIGKILL
    assert work(Orders(returned.settings, ahead=AFTER_ALL_LEASES)) == 0
    returned.was_paid_once(place)


def test_a_person_looks_where_the_worker_died_before_the_call(place: Place) -> None:
    returned = a_return_that_became_refunded(place)
    assert work(Orders(returned.settings, die_at="before adapter.refund")) == -signal.SIGKILL
    assert work(Orders(returned.settings, ahead=AFTER_ALL_LEASES)) == 0
    assert place.processor.refunds(returned.payment) == []
    with Store.open(returned.settings["database_url"]) as store, store.read() as conn:
        (row,) = [it for it in ledger.newest(conn, limit=9) if it.ticket_id == returned.ticket_id]
    assert (row.state, row.reason) == (State.UNKNOWN, Reason.OUTCOME_UNKNOWN)
