"""Run the benchmarks: all of them, which writes docs/benchmarks.md, or those that are named."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.console import Console

from tests.benchmarks import accept, claim, client, growth, imports, machine, refund, report, verify
from tests.benchmarks.harness import Result

BENCHMARKS = {
    "verify": verify.verify,
    "client": client.call,
    "import": imports.package,
    "import-client": imports.client,
    "accept": accept.accept,
    "accept-postgres": accept.accept_on_postgres,
    "refund": refund.refund,
    "listing": client.listing,
    "claim": claim.claim,
    "growth": growth.growth,
}
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"


def main(names: list[str]) -> int:
    if unknown := set(names) - set(BENCHMARKS):
        print(f"no such benchmark: {', '.join(unknown)}. There are: {', '.join(BENCHMARKS)}")
        return 2
    console = Console()
    measured_on = machine.describe()
    results: list[Result] = []
    for name in names or BENCHMARKS:
        with console.status(f"measuring {name}"):
            results.append(BENCHMARKS[name]())
        console.print(report.table(results[-1]))
    if not names:
        report.write(PAGE, measured_on, results)
        console.print(f"written to {PAGE.relative_to(Path.cwd())}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
