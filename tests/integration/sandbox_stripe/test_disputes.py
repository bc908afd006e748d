"""A dispute that was won, or an inquiry that was closed, stands in no refund's way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_returns.refunds.transitions import State
from dispatch_sandbox.stripe import API_KEY
from tests.support.desk import Desk, facts
from tests.support.stores import open_store
from tests.support.stripe_sandbox import Sandbox


@pytest.fixture
def desk(sandbox: Sandbox, tmp_path: Path) -> Iterator[Desk]:
    """A refund desk at the stand-in."""
    adapter = StripeAdapter(API_KEY, base_url=sandbox.url)
    with open_store(tmp_path, durable=False) as store:
        yield Desk(store, adapter)
    adapter.close()


@pytest.mark.parametrize("end", ["won", "warning_closed"])
def test_a_payment_whose_dispute_is_over_is_paid_back(
    sandbox: Sandbox, desk: Desk, end: str
) -> None:
    intent = sandbox.pay(14_900)
    disputes = "/_sandbox/stripe/disputes"
    assert sandbox.http.post(disputes, json={"payment": intent.id}).status_code == 201
    assert desk.enter(facts(payment_intent=intent.id)).reason == "disputed"
    sandbox.http.post(disputes, json={"payment": intent.id, "status": end})
    desk.enter(facts(payment_intent=intent.id))
    desk.step()
    assert desk.only().state is State.SUCCEEDED
    assert sandbox.sdk.v1.charges.retrieve(str(intent.latest_charge)).disputed


def test_a_payment_whose_dispute_was_lost_is_not(sandbox: Sandbox, desk: Desk) -> None:
    intent = sandbox.pay(14_900)
    sandbox.state.dispute(intent.id, "lost")
    assert desk.enter(facts(payment_intent=intent.id)).reason == "disputed"


@pytest.mark.parametrize("body", [{"payment": "pi_none"}, {"payment": "pi_1", "status": "new"}])
def test_a_dispute_that_cannot_be_is_refused(sandbox: Sandbox, body: dict[str, str]) -> None:
    assert sandbox.http.post("/_sandbox/stripe/disputes", json=body).status_code == 400


def test_a_check_of_the_key_may_read_disputes_here(sandbox: Sandbox) -> None:
    adapter = StripeAdapter(API_KEY, base_url=sandbox.url)
    assert "disputes" not in adapter.check()
    adapter.close()
