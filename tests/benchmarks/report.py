"""The results as a table on the terminal, and as the page `docs/benchmarks.md`."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from pathlib import Path

from rich.table import Table

from tests.benchmarks.harness import Goal, Result

HEADINGS = ("", "median", "ours compared", "goal", "")
INTRODUCTION = """# Benchmarks

`python3 dev.py bench` measured this and wrote this page. Each table comes from one run, in which
all sides took turns, round by round; numbers are medians. Compare the ratios, which hold on other
machines too. Everything ran on one machine, over loopback; each server was a separate process.
"""


def lines(result: Result) -> list[tuple[str, str, str, str, str]]:
    """One line for each side, and its goal where it has one."""
    goals = {goal.against: goal for goal in result.goals}
    return [_line(result, side, goals.get(None if side == result.ours else side))
            for side in result.rounds]  # fmt: skip


def _line(result: Result, side: str, goal: Goal | None) -> tuple[str, str, str, str, str]:
    ours = side == result.ours
    against = "" if ours else _against(result, side, goal)
    return (
        side,
        amount(result.median(side), result.unit),
        against,
        _wanted(goal, result.unit) if goal else "",
        ("yes" if result.reached(goal) else "NO") if goal else "",
    )


def _against(result: Result, side: str, goal: Goal | None) -> str:
    ratio = result.ratio(side)
    speed = goal.speed if goal else ratio < 1
    return f"{1 / ratio:.3g} times as fast" if speed else f"{ratio:.3g} times the time"


def _wanted(goal: Goal, unit: str) -> str:
    if goal.against is None:
        return f"at most {amount(goal.limit, unit)}"
    return f"at {'least' if goal.speed else 'most'} {goal.limit:g}"


def amount(value: float, unit: str) -> str:
    """`value` seconds or bytes, as one reads them."""
    if unit == "B":
        return f"{value / 1e6:.2f} MB"
    for factor, name in ((1, "s"), (1e3, "ms")):
        if value * factor >= 1:
            return f"{value * factor:.3g} {name}"
    return f"{value * 1e6:.3g} µs"


def table(result: Result) -> Table:
    """The result for a terminal."""
    drawn = Table(*HEADINGS, title=result.work, title_justify="left", min_width=90)
    for line in lines(result):
        drawn.add_row(*line)
    return drawn


def page(machine: dict[str, str], results: Iterable[Result]) -> str:
    """The results as Markdown."""
    parts = [INTRODUCTION, f"Measured on {datetime.datetime.now(datetime.UTC):%Y-%m-%d}.\n"]
    parts.append("\n".join(f"- {name}: {value}" for name, value in machine.items()) + "\n")
    for result in results:
        rows = [_row(HEADINGS), _row(("---",) * len(HEADINGS)), *map(_row, lines(result))]
        parts.append(f"## {result.work}\n\n{result.how}\n\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def write(path: Path, machine: dict[str, str], results: Iterable[Result]) -> None:
    """Write the page."""
    path.write_text(page(machine, results), encoding="utf-8")
