"""Wherever a worker dies, the next one finishes its work, and the processor has one refund."""

from __future__ import annotations

import multiprocessing
import signal

import pytest

from tests.e2e.crash.points import ELSEWHERE, OF_RETURNS, ON_THE_WAY, POINTS, steps
from tests.e2e.crash.returns import Place, a_return_that_became_refunded
from tests.e2e.crash.worker import Orders, run

pytestmark = pytest.mark.crash

AFTER_ALL_LEASES = 600.0
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.e2e.crash.worker", "stripe", "httpx"])


def test_every_step_has_a_kill_point_or_a_reason() -> None:
    assert set(ELSEWHERE) <= steps(), "a reason is given for a step that is gone"
    assert len(POINTS) >= 12
    assert steps() >= OF_RETURNS
    assert set(ON_THE_WAY) == {
        "adapter.payment",
        "adapter.refund",
        "comments.create",
        "event.claim",
        "event.done",
        "message.claim",
        "message.done",
        "refund.outcome",
        "tickets.get",
        "tickets.update",
    }, "a step is new or gone: think about what a crash there does, then name it here"


@pytest.mark.parametrize("point", POINTS)
def test_a_killed_worker_leaves_exactly_one_refund(place: Place, point: str) -> None:
    returned = a_return_that_became_refunded(place)
    assert work(Orders(returned.settings, die_at=point)) == -signal.SIGKILL
    assert work(Orders(returned.settings, ahead=AFTER_ALL_LEASES)) == 0
    returned.was_paid_once(place)


@pytest.mark.parametrize("point", ["before adapter.find", "after adapter.find"])
def test_a_second_worker_killed_while_it_looks_leaves_exactly_one_refund(
    place: Place, point: str
) -> None:
    returned = a_return_that_became_refunded(place)
    assert work(Orders(returned.settings, die_at="after adapter.refund")) == -signal.SIGKILL
    second = Orders(returned.settings, die_at=point, ahead=AFTER_ALL_LEASES)
    assert work(second) == -signal.SIGKILL
    assert work(Orders(returned.settings, ahead=2 * AFTER_ALL_LEASES)) == 0
    returned.was_paid_once(place)


@pytest.mark.parametrize("step", ["refund.claim", "refund.sending"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_second_worker_killed_before_it_calls_leaves_exactly_one_refund(
    place: Place, when: str, step: str
) -> None:
    returned = a_return_that_became_refunded(place)
    assert work(Orders(returned.settings, die_at="before adapter.refund")) == -signal.SIGKILL
    second = Orders(returned.settings, die_at=f"{when} {step}", ahead=AFTER_ALL_LEASES)
    assert work(second) == -signal.SIGKILL
    assert work(Orders(returned.settings, ahead=2 * AFTER_ALL_LEASES)) == 0
    returned.was_paid_once(place)


@pytest.mark.parametrize("point", ["before comments.list", "after comments.list"])
def test_a_second_worker_killed_before_it_comments_leaves_exactly_one_comment(
    place: Place, point: str
) -> None:
    returned = a_return_that_became_refunded(place)
    assert work(Orders(returned.settings, die_at="after comments.create")) == -signal.SIGKILL
    second = Orders(returned.settings, die_at=point, ahead=AFTER_ALL_LEASES)
    assert work(second) == -signal.SIGKILL
    assert work(Orders(returned.settings, ahead=2 * AFTER_ALL_LEASES)) == 0
    returned.was_paid_once(place)


def work(orders: Orders) -> int | None:
    """Have a worker process do all that is due; return its exit code."""
    process = _PROCESSES.Process(target=run, args=(orders,))
    process.start()
    process.join(60)
    return process.exitcode
