"""A Redis server of a test's own, which keeps nothing and may be killed at will."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from tests.support.ports import free_port
from tests.support.waiting import wait_until


class Broker:
    """A message broker that forgets every message when it ends."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"redis://127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {"port": self._port, "bind": "127.0.0.1", "save": "", "appendonly": "no"}
        command = [self._program]
        for name, value in options.items():
            command += [f"--{name}", str(value)]
        self._process = subprocess.Popen(command, cwd="/", stdout=subprocess.DEVNULL)
        wait_until(self._answers, 20)

    def kill(self) -> None:
        """End it as a power cut does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def _answers(self) -> bool:
        try:
            with redis.Redis(host="127.0.0.1", port=self._port) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False


@contextmanager
def broker() -> Iterator[Broker]:
    """Run a broker while the block lasts."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("needs redis-server")
    running = Broker(program)
    running.start()
    try:
        yield running
    finally:
        running.kill()
