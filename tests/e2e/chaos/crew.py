"""The processes under test, watched over: whatever dies is started again."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from dispatch_returns.connector.connector import Connector
from tests.e2e.chaos.workers import Orders, beat, receive, work, work_with_celery
from tests.support.ports import free_port

_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["tests.e2e.chaos.workers", "stripe", "psycopg"])
_LOOK_SECONDS = 0.1


class Post:
    """One place in the crew, and whoever holds it now."""

    def __init__(self, target: Callable[[Orders], None], orders: Orders) -> None:
        self._target = target
        self.ahead: Any = _PROCESSES.RawValue("d", 0.0)
        self.orders = replace(orders, ahead=self.ahead)
        self.process: BaseProcess | None = None

    def fill(self) -> None:
        """Start a process here."""
        process = _PROCESSES.Process(target=self._target, args=(self.orders,))
        process.start()
        self.process = process

    def signal(self, number: int) -> None:
        """Send a signal to whoever is here, and to the processes that it has started."""
        assert self.process is not None
        assert self.process.pid is not None
        with contextlib.suppress(ProcessLookupError):  # it is dead, and not replaced yet
            os.killpg(self.process.pid, number)


class Crew:
    """Workers and receivers; with a broker the workers are Celery's, and there is its beat."""

    def __init__(self, orders: Orders, folder: Path, workers: int, receivers: int) -> None:
        def told(name: str, **more: Any) -> Orders:
            return replace(orders, log=str(folder / f"{name}.log"), **more)

        working = work if orders.broker is None else work_with_celery
        self.workers = [Post(working, told(f"worker-{number}")) for number in range(workers)]
        self._beats = [] if orders.broker is None else [Post(beat, told("beat"))]
        self.ports = [free_port() for _ in range(receivers)]
        self.receivers = [
            Post(receive, told(f"receiver-{number}", port=port))
            for number, port in enumerate(self.ports)
        ]
        self.restarted = 0
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._watch_over, daemon=True)

    def start(self) -> None:
        """Start everybody, and watch over them."""
        for post in self._posts:
            post.fill()
        self._watch.start()

    def connector(self) -> Connector:
        """Return a connector for a person's acts, at the workers' time."""
        return self.workers[0].orders.connector()

    def kill(self, post: Post) -> None:
        """End a process as a power cut does. Whoever watches starts another one."""
        post.signal(signal.SIGKILL)

    def stall(self, post: Post, seconds: float) -> None:
        """Stop a process for a while; it goes on as if nothing had been."""
        post.signal(signal.SIGSTOP)
        timer = threading.Timer(seconds, post.signal, (signal.SIGCONT,))
        timer.daemon = True
        timer.start()

    def close(self) -> None:
        """End everybody."""
        self._over.set()
        self._watch.join()
        for post in self._posts:
            assert post.process is not None
            post.signal(signal.SIGKILL)
            post.process.join(10)

    @property
    def _posts(self) -> list[Post]:
        return self.workers + self.receivers + self._beats

    def _watch_over(self) -> None:
        while not self._over.wait(_LOOK_SECONDS):
            for post in self._posts:
                assert post.process is not None
                if not post.process.is_alive():
                    post.process.join()
                    post.fill()
                    self.restarted += 1
