"""The chaos run as a command: ``python3 dev.py chaos [--seed N] [--returns N]``."""

from __future__ import annotations

import argparse
import random
import signal
import sys

from tests.e2e.chaos.plan import make
from tests.e2e.chaos.run import run


def main() -> int:
    """Play one plan; say its numbers, and 1 if anything was lost or paid twice."""
    parser = argparse.ArgumentParser(
        prog="dev.py chaos", description="Returns in a storm of faults; the books must agree."
    )
    parser.add_argument("--seed", type=int, help="repeat the fault plan of an earlier run")
    parser.add_argument("--returns", type=int, default=2000)
    parser.add_argument("--celery", action="store_true", help="let Celery's workers do the work")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # the server must be stopped
    given = parser.parse_args()
    seed = random.randrange(10**6) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)
    plan = make(seed, given.returns, broker=given.celery)
    report = run(plan, celery=given.celery)
    for name, value in report.lines():
        print(f"{name:60} {value:>8}")
    books = report.books
    for problem in (*books.lost, *books.double, *books.wrong):
        print(problem)
    return 0 if books.balanced else 1


if __name__ == "__main__":
    sys.exit(main())
