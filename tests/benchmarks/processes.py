"""Servers in processes of their own: they do not share an interpreter with what is timed."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Generator


@contextlib.contextmanager
def serving(module: str, *arguments: str) -> Generator[str]:
    """Run ``python -m module``, which prints its URL once it listens; give that URL.

    The server ends when its standard input does, so it never outlives the measurement.
    """
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        if not url.startswith("http://127.0.0.1:"):
            raise RuntimeError(f"{module} did not start")
        try:
            yield url
        finally:
            process.stdin.close()
            process.wait(20)


async def stdin_closed() -> None:
    """Return when whoever started this process closes its standard input, or dies."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    await reader.read()
