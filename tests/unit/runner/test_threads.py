"""The thread runner: starts, wakes, drains, and is not stopped by anything that goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dispatch_returns.connector.workers import ThreadRunner
from dispatch_returns.errors import StoreUnavailableError
from tests.support.piles import SOON, Blocker, Pile
from tests.support.waiting import wait_until

NEVER = 3600.0
OURS = ("dispatch-returns-claimer", "dispatch-returns-worker")


@pytest.fixture
def start() -> Iterator[Callable[..., ThreadRunner]]:
    """Start a runner that is stopped after the test."""
    started: list[ThreadRunner] = []

    def start(*piles: Pile, workers: int = 2, poll: float = 0.01) -> ThreadRunner:
        runner = ThreadRunner([pile.queue() for pile in piles], workers, poll)
        started.append(runner)
        runner.start()
        return runner

    yield start
    assert all(runner.stop(SOON) for runner in started)
    assert not [t for t in threading.enumerate() if t.name.startswith(OURS)]


Start = Callable[..., ThreadRunner]


def test_what_was_left_behind_is_done_after_the_start(start: Start) -> None:
    pile = Pile(*range(10))
    start(pile)
    wait_until(lambda: sorted(pile.done) == list(range(10)))


def test_starting_twice_starts_once(start: Start) -> None:
    runner = start(Pile())
    runner.start()
    claimers = [t for t in threading.enumerate() if t.name == "dispatch-returns-claimer"]
    assert len(claimers) == 1


def test_work_from_elsewhere_is_found_by_looking(start: Start) -> None:
    pile = Pile()
    start(pile)
    pile.items.append("later")
    wait_until(lambda: pile.done == ["later"])


def test_waking_is_faster_than_looking(start: Start) -> None:
    pile = Pile()
    runner = start(pile, poll=NEVER)
    wait_until(lambda: bool(pile.claims))
    pile.items.append("now")
    runner.wake()
    wait_until(lambda: pile.done == ["now"])


def test_what_one_step_leads_to_is_done_at_once(start: Start) -> None:
    second = Pile()
    first = Pile(lambda: second.items.append("next"))
    start(first, second, poll=NEVER)
    wait_until(lambda: second.done == ["next"])


def test_no_more_is_claimed_than_there_are_free_threads(start: Start) -> None:
    blockers = [Blocker() for _ in range(3)]
    pile = Pile(*blockers, *range(20))
    start(pile, workers=3)
    for blocker in blockers:
        assert blocker.inside.wait(SOON)
    assert pile.claims == [3], "who waits in line would lose its lease"
    for blocker in blockers:
        blocker.go_on.set()
    wait_until(lambda: len(pile.done) == 23)
    assert max(pile.claims) <= 3
    assert pile.most_busy <= 3


def test_all_queues_have_their_turn_while_one_is_slow(start: Start) -> None:
    blocker = Blocker()
    slow, quick = Pile(blocker), Pile(*range(5))
    start(slow, quick, workers=2)
    wait_until(lambda: len(quick.done) == 5)
    assert blocker.inside.wait(SOON)
    assert slow.done == []
    blocker.go_on.set()


def test_an_item_that_fails_ends_neither_its_thread_nor_the_others(
    start: Start, caplog: pytest.LogCaptureFixture
) -> None:
    def fails() -> None:
        raise ValueError("jane@example.com")

    pile = Pile(*[fails] * 5, "good")
    start(pile, workers=1)
    wait_until(lambda: pile.done == ["good"])
    assert "jane" not in caplog.text


def test_a_worker_that_is_told_to_exit_leaves_its_thread_free(start: Start) -> None:
    def leaves() -> None:
        raise SystemExit

    pile = Pile(leaves, "good")
    start(pile, workers=1)
    wait_until(lambda: pile.done == ["good"])


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreUnavailableError("the disk is full"), "pile: nothing can be claimed now: the disk"),
        (KeyError("jane@example.com"), "pile: nothing can be claimed: KeyError"),
    ],
)
def test_a_claim_that_fails_is_tried_again(
    start: Start, caplog: pytest.LogCaptureFixture, error: Exception, said: str
) -> None:
    pile = Pile("good")
    claim, failures = pile.claim, [error] * 3

    def flaky(limit: int) -> list[Any]:
        if failures:
            raise failures.pop()
        return claim(limit)

    pile.claim = flaky  # type: ignore[method-assign]
    start(pile)
    wait_until(lambda: pile.done == ["good"])
    assert sum(line.startswith(said) for line in caplog.messages) == 3
    assert "jane" not in caplog.text


# Stopping.


def test_stopping_waits_for_what_runs_and_claims_nothing_more(start: Start) -> None:
    blocker = Blocker()
    pile = Pile(blocker, "not any more")
    runner = start(pile, workers=1)
    assert blocker.inside.wait(SOON)
    stopped: list[bool] = []
    stopping = threading.Thread(target=lambda: stopped.append(runner.stop(SOON)))
    stopping.start()
    time.sleep(0.05)  # the claimer would have claimed by now
    assert stopping.is_alive()
    blocker.go_on.set()
    stopping.join(SOON)
    assert stopped == [True]
    assert pile.done == [blocker]
    assert pile.items == ["not any more"]
    assert pile.claims == [1]


def test_stopping_gives_up_in_time(start: Start) -> None:
    blocker = Blocker()
    runner = start(Pile(blocker))
    assert blocker.inside.wait(SOON)
    begun = time.monotonic()
    assert runner.stop(0.05) is False
    assert time.monotonic() - begun < 5
    blocker.go_on.set()
    wait_until(lambda: not any(t.name.startswith(OURS) for t in threading.enumerate()))


def test_an_idle_runner_stops_at_once(start: Start) -> None:
    pile = Pile()
    runner = start(pile, poll=NEVER)
    wait_until(lambda: bool(pile.claims))
    begun = time.monotonic()
    assert runner.stop()
    assert time.monotonic() - begun < 5


def test_stopping_what_does_not_run_is_no_error() -> None:
    runner = ThreadRunner([], 1)
    runner.wake()
    assert runner.stop()
    assert runner.stop(0)


def test_a_stopped_runner_can_be_started_again(start: Start) -> None:
    pile = Pile("first")
    runner = start(pile)
    wait_until(lambda: pile.done == ["first"])
    assert runner.stop(SOON)
    pile.items.append("second")
    runner.start()
    wait_until(lambda: pile.done == ["first", "second"])
    assert runner.stop(SOON)


def test_a_start_after_a_stop_that_gave_up_does_not_revive_the_old_run(start: Start) -> None:
    blocker = Blocker()
    pile = Pile(blocker)
    runner = start(pile, workers=1)
    assert blocker.inside.wait(SOON)
    assert runner.stop(0.01) is False
    runner.start()
    pile.items.append("new")
    wait_until(lambda: "new" in pile.done)
    blocker.go_on.set()
    wait_until(
        lambda: [t.name for t in threading.enumerate()].count("dispatch-returns-claimer") == 1
    )


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # Python 3.12's own advice
def test_a_child_process_has_a_runner_of_its_own(start: Start) -> None:
    blocker = Blocker()
    pile = Pile(blocker)
    runner = start(pile, workers=1)
    assert blocker.inside.wait(SOON)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            pile.items, pile._lock = ["child"], threading.Lock()
            runner.start()
            wait_until(lambda: pile.done == ["child"])
            code = 0 if runner.stop(SOON) else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    blocker.go_on.set()


def test_what_runs_when_the_interpreter_ends_is_finished() -> None:
    script = """
import time
from dispatch_returns.connector.workers import ThreadRunner
from tests.support.piles import Pile

def first():
    time.sleep(0.5)  # the main thread has ended by then, and the interpreter waits
    print("first")

pile = Pile(first)
runner = ThreadRunner([pile.queue()], 2, poll=3600)
runner.start()
while not pile.busy:
    time.sleep(0.01)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["first"]
