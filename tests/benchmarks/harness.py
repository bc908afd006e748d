"""Measures several ways of doing one piece of work, side by side.

The sides take turns, round by round, and every second round in reverse, so that whatever else
the machine does falls on all of them alike. What counts is the median.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median

_ROUND_SECONDS = 0.02


@dataclass(frozen=True)
class Side:
    """One way of doing the work. `measure` does one round and returns the cost of one piece."""

    name: str
    measure: Callable[[], float]


@dataclass(frozen=True)
class Goal:
    """What is to be reached against another side, or in itself where `against` is None.

    `speed` False: our cost is at most `limit` times theirs, or at most `limit`. True: we are at
    least `limit` times as fast.
    """

    limit: float
    against: str | None = None
    speed: bool = False


@dataclass(frozen=True)
class Result:
    """The rounds of every side, in seconds or bytes of one piece; the first side is ours."""

    work: str
    how: str
    rounds: dict[str, list[float]]
    goals: tuple[Goal, ...] = ()
    unit: str = "s"
    ours: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "ours", next(iter(self.rounds)))

    def median(self, side: str) -> float:
        return median(self.rounds[side])

    def ratio(self, side: str) -> float:
        """Our cost by that of `side`: the median of the rounds, each by its neighbour."""
        pairs = zip(self.rounds[self.ours], self.rounds[side], strict=True)
        return median(our / their for our, their in pairs)

    def value(self, goal: Goal) -> float:
        """What was measured, in the goal's own terms."""
        if goal.against is None:
            return self.median(self.ours)
        ratio = self.ratio(goal.against)
        return 1 / ratio if goal.speed else ratio

    def reached(self, goal: Goal) -> bool:
        value = self.value(goal)
        return value >= goal.limit if goal.speed else value <= goal.limit


def interleave(*sides: Side, rounds: int) -> dict[str, list[float]]:
    """Let the sides take turns, after one round each that does not count."""
    for side in sides:
        side.measure()
    taken: dict[str, list[float]] = {side.name: [] for side in sides}
    for number in range(rounds):
        for side in sides if number % 2 == 0 else reversed(sides):
            taken[side.name].append(side.measure())
    return taken


def repeated(name: str, work: Callable[[], object]) -> Side:
    """A side that does quick work as often as makes a round long enough to be timed."""
    work()
    with _timer() as once:
        work()
    times = max(1, int(_ROUND_SECONDS / max(once(), 1e-7)))

    def measure() -> float:
        with _timer() as elapsed:
            for _ in range(times):
                work()
        return elapsed() / times

    return Side(name, measure)


@contextmanager
def _timer() -> Generator[Callable[[], float]]:
    """Time what is inside, with the garbage collector waiting outside, as `timeit` does."""
    gc.collect()
    gc.disable()
    start = time.perf_counter()
    end = 0.0
    try:
        yield lambda: end - start
    finally:
        end = time.perf_counter()
        gc.enable()
