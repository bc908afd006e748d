"""The benchmarks' own arithmetic: what is compared with what, and what counts as reached."""

from __future__ import annotations

import pytest

from tests.benchmarks import harness, report
from tests.benchmarks.harness import Goal, Result, Side

ROUNDS = {"ours": [2e-3, 3e-3, 90.0], "theirs": [4e-3, 3e-3, 60.0]}


@pytest.mark.parametrize(
    ("goal", "value", "reached"),
    [
        (Goal(1.0, "theirs"), 1.0, True),
        (Goal(0.9, "theirs"), 1.0, False),
        (Goal(1.0, "theirs", speed=True), 1.0, True),
        (Goal(1.1, "theirs", speed=True), 1.0, False),
        (Goal(3e-3), 3e-3, True),
        (Goal(2e-3), 3e-3, False),
    ],
)
def test_a_goal_is_held_to_the_median_of_neighbouring_rounds(
    goal: Goal, value: float, reached: bool
) -> None:
    result = Result("work", "how", ROUNDS, (goal,))
    assert result.value(goal) == pytest.approx(value)
    assert result.reached(goal) is reached


def test_sides_take_turns_and_the_first_round_does_not_count() -> None:
    turns: list[str] = []

    def side(name: str) -> Side:
        def measure() -> float:
            turns.append(name)
            return float(len(turns))

        return Side(name, measure)

    assert harness.interleave(side("a"), side("b"), rounds=2) == {"a": [3, 6], "b": [4, 5]}
    assert "".join(turns) == "ab" + "ab" + "ba"


def test_the_page_shows_what_was_wanted_and_missed() -> None:
    goals = (Goal(0.5, "theirs"), Goal(2e-3))
    page = report.page({"Python": "3.11"}, [Result("Work", "How.", ROUNDS, goals)])
    assert "- Python: 3.11" in page
    assert "## Work\n\nHow.\n" in page
    assert "| ours | 3 ms |  | at most 2 ms | NO |" in page
    assert "| theirs | 4 ms | 1 times the time | at most 0.5 | NO |" in page


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [(1.5, "s", "1.5 s"), (2.5e-3, "s", "2.5 ms"), (7.5e-6, "s", "7.5 µs"), (2e6, "B", "2.00 MB")],
)
def test_amounts_are_shown_in_the_unit_one_reads(value: float, unit: str, shown: str) -> None:
    assert report.amount(value, unit) == shown
