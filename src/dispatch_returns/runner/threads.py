"""Threads of this process: enough for a shop, and for a `worker` process."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from dispatch_returns.errors import StoreError
from dispatch_returns.workflow.queues import Queue

log = logging.getLogger(__name__)


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
        self._stopping = threading.Event()
        self._free = workers
        self._counting = threading.Condition()
        self._claimer: threading.Thread | None = None
        self._pid: int | None = None

    def start(self) -> None:
        """Start the threads; does nothing if they run in this process already."""
        if self._claimer is not None and self._pid == os.getpid():
            return
        self._pid = os.getpid()
        self._stopping.clear()
        self._claimer = threading.Thread(
            target=self._run, name="dispatch-returns-claimer", daemon=True
        )
        self._claimer.start()

    def wake(self) -> None:
        """Say that there is something to do."""
        self._wake.set()

    def stop(self, timeout: float | None = None) -> bool:
        """Claim nothing more and wait for what runs; return whether all of it ended.

        `timeout` is in seconds. What did not end in time goes on until the process ends, and
        is picked up by the next one.
        """
        if self._claimer is None:
            return True
        self._stopping.set()
        self._wake.set()
        self._claimer.join(timeout)
        ended = not self._claimer.is_alive()
        self._claimer = None
        return ended

    def _run(self) -> None:
        with ThreadPoolExecutor(self._workers, "dispatch-returns-worker") as pool:
            while not self._stopping.is_set():
                self._wake.clear()
                if not self._claim_into(pool):
                    self._wake.wait(self._poll)

    def _claim_into(self, pool: ThreadPoolExecutor) -> bool:
        """Hand what is due to the threads that are free; return whether there was anything."""
        found = False
        for queue in self._queues:
            self._wait_for_a_free_thread()
            try:
                items = queue.claim(self._free)
            except StoreError as error:
                log.error("%s: nothing can be claimed now: %s", queue.name, error)  # noqa: TRY400 - the message says it all
                continue
            found = found or bool(items)
            for item in items:
                self._take()
                pool.submit(self._run_one, queue, item)
        return found

    def _run_one(self, queue: Queue[object], item: object) -> None:
        try:
            queue.run_safely(item)
        finally:
            with self._counting:
                self._free += 1
                self._counting.notify()
            # What one step leads to is due at once.
            self._wake.set()

    def _take(self) -> None:
        with self._counting:
            self._free -= 1

    def _wait_for_a_free_thread(self) -> None:
        with self._counting:
            self._counting.wait_for(lambda: self._free > 0)
