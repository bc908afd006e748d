"""Whatever goes wrong at once: each payable ticket is paid once, nothing accepted is missing."""

from __future__ import annotations

import random

import pytest

from tests.e2e.chaos.plan import Blow, Plan, make
from tests.e2e.chaos.run import run


def test_a_seed_repeats_its_plan() -> None:
    assert make(7, 200) == make(7, 200)
    assert make(7, 200) != make(8, 200)


def test_every_kind_of_blow_is_in_a_small_plan_too() -> None:
    assert {planned.blow for planned in make(1, 60, broker=True).blows} == set(Blow)
    assert Blow.RESTART_BROKER not in {planned.blow for planned in make(1, 2000).blows}


def survive(plan: Plan, lease: float, *, celery: bool = False) -> None:
    print(f"seed {plan.seed}")
    books = run(plan, lease=lease, celery=celery).books
    assert books.balanced, (plan.seed, books)
    assert books.paid == books.payable


def test_in_a_short_storm_nothing_is_lost_and_nothing_is_paid_twice() -> None:
    survive(make(1, 60), lease=2.0)


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("celery", [False, True], ids=["threads", "celery"])
def test_in_a_long_storm_nothing_is_lost_and_nothing_is_paid_twice(celery: bool) -> None:
    plan = make(random.randrange(10**6), 2000, broker=celery)
    survive(plan, lease=5.0, celery=celery)
