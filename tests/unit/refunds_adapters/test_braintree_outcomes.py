"""A refund at Braintree from its ticket to its end: voided, refunded, or looked up."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from dispatch_returns.refunds.adapters.braintree import BraintreeAdapter
from dispatch_returns.refunds.guard import Reason
from dispatch_returns.refunds.transitions import State
from dispatch_sandbox.braintree import MERCHANT_ID, PRIVATE_KEY, PUBLIC_KEY
from tests.support.braintree_sandbox import DescribedBraintree, serving_braintree
from tests.support.desk import Clock, Desk, facts
from tests.support.stores import open_store

Served = tuple[DescribedBraintree, str, Clock]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    clock = Clock()
    with serving_braintree(lambda: clock().timestamp()) as (braintree, url):
        yield braintree, url, clock


@pytest.fixture
def braintree(served: Served) -> DescribedBraintree:
    served[0].faults.clear()
    return served[0]


@pytest.fixture
def desk(served: Served, tmp_path: Path) -> Iterator[Desk]:
    adapter = BraintreeAdapter(MERCHANT_ID, PUBLIC_KEY, PRIVATE_KEY, base_url=served[1])
    with open_store(tmp_path, durable=False) as store:
        yield Desk(store, adapter, clock=served[2])
    adapter.close()


def enter(desk: Desk, payment: str, amount: str = "149.00") -> None:
    ticket: dict[str, Any] = {"payment_intent": None, "payment_reference": payment}
    desk.enter(facts(f"tkt_{payment}", Decimal(amount), **ticket))
    desk.step()


def test_an_unsettled_transaction_ends_as_voided(desk: Desk, braintree: DescribedBraintree) -> None:
    payment = braintree.pay("149.00", status="SUBMITTED_FOR_SETTLEMENT")
    enter(desk, payment)
    assert desk.only().state is State.VOIDED
    assert braintree.transactions[payment].status == "VOIDED"


def test_a_part_waits_for_the_settlement(desk: Desk, braintree: DescribedBraintree) -> None:
    payment = braintree.pay("149.00", status="SUBMITTED_FOR_SETTLEMENT")
    enter(desk, payment, "49.00")
    row = desk.only()
    assert (row.state, row.reason) == (State.REQUESTED, None)
    braintree.transactions[payment].status = "SETTLED"
    desk.run(hours=2)
    assert braintree.refunded(payment) == 4900


def test_a_refund_is_followed_until_it_is_settled(
    desk: Desk, braintree: DescribedBraintree
) -> None:
    enter(desk, braintree.pay("149.00"))
    assert desk.only().state is State.PENDING
    desk.run(days=2)
    assert desk.only().state is State.SUCCEEDED


@pytest.mark.parametrize("status", ["SETTLED", "SUBMITTED_FOR_SETTLEMENT"])
def test_after_a_lost_answer_the_refund_or_the_void_is_found_and_not_made_again(
    desk: Desk, braintree: DescribedBraintree, status: str
) -> None:
    payment = braintree.pay("149.00", status=status)
    braintree.fail("lost_response", payment=payment)
    enter(desk, payment)
    assert desk.only().state is State.UNKNOWN
    desk.run(minutes=1)
    wanted = State.PENDING if status == "SETTLED" else State.VOIDED
    assert desk.only().state is wanted
    assert len(braintree.transactions[payment].refunds) == (1 if status == "SETTLED" else 0)


def test_where_nothing_is_found_after_a_lost_answer_a_person_decides(
    desk: Desk, braintree: DescribedBraintree
) -> None:
    """There is no key, so another call could pay again."""
    payment = braintree.pay("149.00")
    braintree.fail("server_error", payment=payment)
    enter(desk, payment)
    desk.run(minutes=10)
    row = desk.only()
    assert (row.state, row.reason, row.due_at) == (State.UNKNOWN, Reason.OUTCOME_UNKNOWN, None)
    assert braintree.refunded(payment) == 0


def test_a_refund_in_place_of_a_void_is_adopted(desk: Desk, braintree: DescribedBraintree) -> None:
    payment = braintree.pay("149.00", status="SUBMITTED_FOR_SETTLEMENT")
    answer = braintree.answer

    def settles(request: Any) -> Any:
        if b"reverseTransaction" in request.body:
            braintree.transactions[payment].status = "SETTLED"
        return answer(request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(braintree, "answer", settles)
        enter(desk, payment)
    row = desk.only()
    assert (row.state, row.adopted) == (State.PENDING, True)
    assert braintree.refunded(payment) == 14900
