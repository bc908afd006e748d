"""Threads of this process: enough for a shop, and for a `worker` process."""

from __future__ import annotations

import atexit
import os
import threading
import time
from collections.abc import Sequence
from weakref import WeakSet

from dispatch_returns.connector.crew import Crew
from dispatch_returns.connector.queues import Queue

DRAIN_SECONDS = 30.0
"""How long a stop waits for what is under way."""


class ThreadRunner:
    """Claims what is due and runs it, `workers` of each kind of work at once, until it is stopped.

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
            if self.is_running:
                return
            self._pid = os.getpid()
            self._wake = threading.Event()
            self._run = _Run(self._queues, self._workers, self._poll, self._wake)
            self._run.start()
            _started.add(self)

    @property
    def is_running(self) -> bool:
        """Whether the threads run in this process."""
        return self._run is not None and self._pid == os.getpid()

    def wake(self) -> None:
        """Say that there is something to do."""
        self._wake.set()

    def stop(self, timeout: float | None = None) -> bool:
        """Claim nothing more and wait for what runs; return whether all of it ended.

        `timeout` is in seconds. What did not end in time goes on until the process ends, and
        is picked up by the next one.
        """
        run, self._run = self._run, None
        # After a fork it is the parent's, whose threads are not here.
        return run is None or self._pid != os.getpid() or run.stop(timeout)


class _Run:
    """One start of the runner, to its stop."""

    def __init__(
        self, queues: Sequence[Queue[object]], workers: int, poll: float, wake: threading.Event
    ) -> None:
        self._queues = queues
        self._poll = poll
        self._wake = wake
        # What one step leads to is due at once.
        self._crew = Crew(workers, ended=wake.set)
        self._stopping = False
        self._thread = threading.Thread(
            target=self._claim_until_stopped, name="dispatch-returns-claimer", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout: float | None) -> bool:
        ends = None if timeout is None else time.monotonic() + timeout
        self._stopping = True
        self._wake.set()
        self._thread.join(timeout)  # so that nothing is started behind the back of `close`
        left = None if ends is None else max(0.0, ends - time.monotonic())
        return self._crew.close(left) and not self._thread.is_alive()

    def _claim_until_stopped(self) -> None:
        while not self._stopping:
            self._wake.clear()
            if not self._claim():
                self._wake.wait(min(self._poll, self._crew.next_free() or self._poll))

    def _claim(self) -> bool:
        """Hand what is due to the threads; return whether there was anything."""
        found = False
        for queue in self._queues:
            # No more than can be run: what waits in line would lose its lease there.
            free = self._crew.free(queue)
            if not free or self._stopping:
                continue
            for item in queue.claim_safely(free):
                self._crew.start(queue, item)
                found = True
        return found


_started: WeakSet[ThreadRunner] = WeakSet()


@atexit.register
def _finish_what_runs() -> None:
    """Finish what is under way when the interpreter ends: daemon threads end in the middle."""
    for runner in list(_started):
        runner.stop(DRAIN_SECONDS)
