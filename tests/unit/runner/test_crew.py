"""The crew: what hangs holds up itself alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dispatch_returns.connector.celery import take_turn
from dispatch_returns.connector.workers import MORE, Crew, Queue, ThreadRunner
from tests.support.piles import SOON, Pile
from tests.support.waiting import wait_until

OURS = ("dispatch-returns-claimer", "dispatch-returns-keeper", "dispatch-returns-worker")


@pytest.fixture
def hang() -> Iterator[Callable[[], None]]:
    """A call that lasts until the test is over."""
    over = threading.Event()

    def hangs() -> None:
        over.wait(6 * SOON)

    yield hangs
    over.set()
    wait_until(lambda: not any(it.name.startswith(OURS) for it in threading.enumerate()))


@pytest.fixture
def crew(hang: Callable[[], None]) -> Iterator[Crew]:
    crew = Crew(1)
    yield crew
    crew.close(0)


def kept(pile: Pile, seen: list[Any]) -> Queue[Any]:
    """Queue a pile whose items may never end."""
    return Queue("kept", pile.claim, pile.run, keep=lambda item, _seconds: seen.append(item))


def taken(*items: Any) -> float:
    """Return the seconds that a runner needs for all `items` but those that hang."""
    pile = Pile(*items)
    runner = ThreadRunner([pile.queue()], workers=4, poll=SOON)
    healthy = sum(isinstance(item, int) for item in items)
    begun = time.perf_counter()
    runner.start()
    wait_until(lambda: sum(isinstance(it, int) for it in pile.done) == healthy, 6 * SOON)
    seconds = time.perf_counter() - begun
    runner.stop(0)
    return seconds


class Call(int):
    """A call that takes a while, as each to another system does."""

    def __call__(self) -> None:
        time.sleep(0.2)


def test_a_hundred_hanging_calls_no_more_than_double_the_time_of_a_hundred_healthy_ones(
    hang: Callable[[], None],
) -> None:
    healthy = [Call(number) for number in range(100)]
    alone = taken(*healthy)
    beside = taken(*[it for call in healthy for it in (hang, call)])
    assert beside < 2 * alone


def test_what_hangs_of_one_kind_takes_no_slot_of_another(hang: Callable[[], None]) -> None:
    handlers, refunds = Pile(*[hang] * 20), Pile(*range(20))
    seen: list[Any] = []
    runner = ThreadRunner([kept(handlers, seen), refunds.queue()], workers=4, poll=0.01)
    runner.start()
    wait_until(lambda: len(refunds.done) == 20)
    wait_until(lambda: len(seen) >= 4)
    assert handlers.most_busy == 4, "each keeps its slot, and the others wait"
    assert len(handlers.items) == 16
    assert runner.stop(0) is False


def test_a_kind_that_may_hang_goes_on_in_the_slots_that_are_left(
    hang: Callable[[], None],
) -> None:
    handlers = Pile(hang, hang, hang, *range(20))
    runner = ThreadRunner([kept(handlers, [])], workers=4, poll=0.01)
    runner.start()
    wait_until(lambda: len(handlers.done) == 20)
    runner.stop(0)


def test_not_more_than_so_many_run_beside_the_others(hang: Callable[[], None]) -> None:
    pile = Pile()
    crew = Crew(1, slow=0.0, most_slow=3)
    for _ in range(MORE + 3):
        assert crew.free(pile.queue())
        crew.start(pile.queue(), hang)
    assert crew.free(pile.queue()) == 0
    assert crew.close(0) is False


# Celery.


def test_a_turn_ends_in_time_whatever_hangs(hang: Callable[[], None], crew: Crew) -> None:
    pile = Pile(hang, hang, 1)
    begun = time.monotonic()
    assert take_turn([pile.queue()], lambda: None, crew, seconds=1.5) == 3
    assert time.monotonic() - begun < 5
    assert pile.done == [1], "what comes after it is done all the same"


def test_in_the_next_turn_nothing_waits_for_what_hangs(
    hang: Callable[[], None], crew: Crew
) -> None:
    pile = Pile(hang)
    take_turn([pile.queue()], lambda: None, crew, seconds=0)
    pile.items.append("next")
    begun = time.monotonic()
    take_turn([pile.queue()], lambda: None, crew, seconds=SOON)
    assert pile.done == ["next"]
    assert time.monotonic() - begun < SOON / 2
