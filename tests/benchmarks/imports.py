"""`import dispatch_returns`, and the first thing one takes from it."""

from __future__ import annotations

import subprocess
import sys

from tests.benchmarks.harness import Goal, Result, Side, interleave

TIMED = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"
HOW = "A fresh interpreter each time; the time of the statement itself, without bare Python."


def importing(name: str, statement: str) -> Side:
    def measure() -> float:
        command = [sys.executable, "-c", TIMED.format(statement)]
        return float(subprocess.check_output(command, text=True, timeout=60))

    return Side(name, measure)


def package() -> Result:
    """Against the packages one would import for the same work."""
    names = ("dispatch_returns", "stripe", "svix", "openai")
    sides = [importing(f"import {name}", f"import {name}") for name in names]
    rounds = interleave(*sides, rounds=15)
    return Result("Importing the package", HOW, rounds, (Goal(0.015),))


def client() -> Result:
    """Against what the client is made of. pydantic's classes are lazy, so one is named."""
    rounds = interleave(
        importing("DispatchClient", "from dispatch_returns import DispatchClient"),
        importing("httpx and pydantic", "import httpx; from pydantic import BaseModel"),
        rounds=31,
    )
    return Result("Importing the client", HOW, rounds, (Goal(1.15, "httpx and pydantic"),))
