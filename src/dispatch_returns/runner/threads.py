"""Threads of this process: enough for a shop, and for a `worker` process."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from dispatch_returns.workflow.queues import Queue


class ThreadRunner:
    """Claims what is due and runs it in `workers` threads, until it is stopped.

    What a dead process had claimed falls due again when its lease ends, so starting is all
    that is needed after a crash. `poll` (seconds) is how long work from other processes may
    wait; `wake` says that there is some now.
    """

    def __init__(self, queues: Sequence[Queue[object]], workers: int, poll: float = 1.0) -> None:
        self._queues = queues
        self._workers = workers
        self._poll = poll
        self._wake = threading.Event()
        self._run: _Run | None = None
        self._pid: int | None = None
        self._starting = threading.Lock()

    def start(self) -> None:
        """Start the threads; does nothing if they run in this process already."""
        with self._starting:
            if self._run is not None and self._pid == os.getpid():
                return
            self._pid = os.getpid()
            self._wake = threading.Event()
            self._run = _Run(self._queues, self._workers, self._poll, self._wake)
            self._run.start()

    def wake(self) -> None:
        """Say that there is something to do."""
        self._wake.set()

    def stop(self, timeout: float | None = None) -> bool:
        """Claim nothing more and wait for what runs; return whether all of it ended.

        `timeout` is in seconds. What did not end in time goes on until the process ends, and
        is picked up by the next one.
        """
        run, self._run = self._run, None
        return run is None or run.stop(timeout)


class _Run:
    """One start of the runner, to its stop."""

    def __init__(
        self, queues: Sequence[Queue[object]], workers: int, poll: float, wake: threading.Event
    ) -> None:
        self._queues = queues
        self._workers = workers
        self._poll = poll
        self._wake = wake
        self._free = workers
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(
            target=self._claim_until_stopped, name="dispatch-returns-claimer", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float | None) -> bool:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._wake.set()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _claim_until_stopped(self) -> None:
        with ThreadPoolExecutor(self._workers, "dispatch-returns-worker") as pool:
            while not self._stopping:
                self._wake.clear()
                if not self._claim_into(pool):
                    self._wake.wait(self._poll)

    def _claim_into(self, pool: ThreadPoolExecutor) -> bool:
        """Hand what is due to the threads; return whether there was anything."""
        found = False
        for queue in self._queues:
            free = self._wait_for_free_threads()
            if self._stopping:
                return True  # the loop looks at once, and ends
            items = queue.claim_safely(free)
            found = found or bool(items)
            for item in items:
                with self._changed:
                    self._free -= 1
                try:
                    pool.submit(self._run_one, queue, item)
                except RuntimeError:  # the interpreter ends: its pools take nothing more
                    self._stopping = True
                    self._run_one(queue, item)
        return found

    def _wait_for_free_threads(self) -> int:
        """Return how many threads are free: what waits in line would lose its lease there."""
        with self._changed:
            self._changed.wait_for(lambda: self._free > 0 or self._stopping)
            return self._free

    def _run_one(self, queue: Queue[object], item: object) -> None:
        try:
            queue.run_safely(item)
        finally:
            with self._changed:
                self._free += 1
                self._changed.notify_all()
            # What one step leads to is due at once.
            self._wake.set()
