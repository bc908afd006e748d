"""The sandbox, both halves, in a process of its own."""

from __future__ import annotations

import asyncio

import dispatch_sandbox
from tests.benchmarks import processes


def main() -> None:
    with dispatch_sandbox.running() as box:
        print(box.url, flush=True)
        asyncio.run(processes.stdin_closed())


if __name__ == "__main__":
    main()
