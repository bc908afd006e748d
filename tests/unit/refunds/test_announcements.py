"""Each state that a refund comes to is announced, once, with the row as it is written then.

`Desk` holds every announcement to the row and the clock; here is which there are.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest

from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds import actions
from dispatch_returns.refunds.adapter import RefundStatus
from dispatch_returns.refunds.guard import GuardLimits
from dispatch_returns.refunds.transitions import State
from dispatch_returns.store import Store
from tests.support.desk import Desk, facts


def refused(desk: Desk) -> None:
    desk.fake.fail_next(AdapterError(ErrorKind.DISPUTED, "disputed"))
    desk.enter()
    desk.step()


def held_and_released(desk: Desk) -> None:
    refused(desk)
    desk.retry(facts=facts())
    desk.step()


def canceled_by_a_person(desk: Desk) -> None:
    refused(desk)
    desk.act(actions.cancel, why="paid in cash")


def paid_later(desk: Desk) -> None:
    desk.fake.first_status = RefundStatus.PENDING
    desk.enter()
    desk.step()
    desk.fake.set_status(desk.fake.refunds[0].processor_id, RefundStatus.SUCCEEDED)
    desk.run(hours=2)


def failed_later(desk: Desk) -> None:
    desk.enter()
    desk.step()
    desk.fake.set_status(desk.fake.refunds[0].processor_id, RefundStatus.FAILED)
    desk.run(days=40)


def silent_for_days(desk: Desk) -> None:
    desk.fake.fail_next("lost_response")
    for _ in range(1000):
        desk.fake.fail_next(AdapterError(ErrorKind.UNKNOWN_OUTCOME, "silent"), call="find")
    desk.enter()
    desk.run(hours=60)


def looked_up_in_vain(desk: Desk) -> None:
    desk.fake.fail_next("lost_response")
    desk.fake.fail_next(AdapterError(ErrorKind.KEY_CONFLICT, "used before"), call="find")
    desk.enter()
    desk.run(hours=1)
    assert desk.only().due_at is None


def silent_and_then_looked_up_in_vain(desk: Desk) -> None:
    silent_for_days(desk)
    desk.fake._faults["find"].clear()
    desk.fake.fail_next(AdapterError(ErrorKind.KEY_CONFLICT, "used before"), call="find")
    desk.run(hours=2)
    assert desk.only().due_at is None


def paid(desk: Desk) -> None:
    desk.enter()
    desk.step()
    desk.run(days=40)


HELD = (State.HELD, "disputed")
UNKNOWN = (State.UNKNOWN, "outcome_unknown")
STORIES: list[tuple[Callable[[Desk], None], list[tuple[State, str | None]]]] = [
    (paid, [(State.SUCCEEDED, None)]),
    (refused, [HELD]),
    (held_and_released, [HELD, (State.SUCCEEDED, None)]),
    (canceled_by_a_person, [HELD, (State.CANCELED, "refund_canceled")]),
    (paid_later, [(State.PENDING, None), (State.SUCCEEDED, None)]),
    (failed_later, [(State.SUCCEEDED, None), (State.FAILED, "refund_failed")]),
    (silent_for_days, [UNKNOWN]),
    (looked_up_in_vain, [UNKNOWN]),
    (silent_and_then_looked_up_in_vain, [UNKNOWN]),
]


@pytest.mark.parametrize(
    ("story", "announced"), STORIES, ids=[story.__name__ for story, _ in STORIES]
)
def test_each_state_is_announced_once(
    desk: Desk, story: Callable[[Desk], None], announced: list[tuple[State, str | None]]
) -> None:
    story(desk)
    assert desk.announced == announced


def test_what_the_guard_holds_is_announced(store: Store) -> None:
    desk = Desk(store, limits=GuardLimits(approve_above={"USD": Decimal(100)}))
    desk.enter()
    assert desk.announced == [(State.HELD, "approval_needed")]
