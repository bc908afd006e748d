"""The threads that run what was claimed: each kind of work has slots of its own.

So what hangs holds up nothing of another kind. Of its own kind it holds up little: our calls all
end at a time limit, so one that lasts longer than `SLOW` gives its slot to the next. The
merchant's functions may never end, so each keeps its slot, and its lease is kept up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dispatch_returns.connector.queues import Queue

SLOW = 0.5
"""Seconds after which an item no longer counts as one of those that run at once."""
MORE = 4
"""How many times as many of a kind, at least, are begun while one of it is slow: if many hang, the
others are not far behind."""
MOST_SLOW = 128
"""How many slow items of one kind may run beside the others: each is a thread that waits."""
_LOOK_EVERY = 1.0


@dataclass(eq=False, slots=True)
class Work:
    """An item that runs."""

    queue: Queue[Any]
    item: Any
    begun: float = field(default_factory=time.monotonic)
    ended: bool = False

    @property
    def seconds(self) -> float:
        """How long it has run."""
        return time.monotonic() - self.begun


class Crew:
    """Runs items in daemon threads, `slots` of each queue at once. Safe to use in many threads.

    `ended` is called after each item.
    """

    def __init__(
        self,
        slots: int,
        *,
        ended: Callable[[], None] = lambda: None,
        slow: float = SLOW,
        most_slow: int = MOST_SLOW,
    ) -> None:
        self._slots = slots
        self._ended = ended
        self._slow = slow
        self._most_slow = most_slow
        self._changed = threading.Condition()
        self._running: dict[str, list[Work]] = {}
        self._threads: set[threading.Thread] = set()
        self._closed = False
        self._keeper: threading.Thread | None = None

    def free(self, queue: Queue[Any]) -> int:
        """Return how many items of `queue` may be started now."""
        with self._changed:
            running = self._running.get(queue.name, [])
            slow = 0 if queue.keep else sum(work.seconds >= self._slow for work in running)
            # The more are slow, the more are begun: all that hang are found after a few rounds.
            more = max(self._slots * MORE, min(2 * slow, self._most_slow))
            slots = more if slow else self._slots
            return max(0, slots - len(running) + min(slow, self._most_slow))

    def next_free(self) -> float | None:
        """Return the seconds until an item that runs counts as slow, None where none will."""
        with self._changed:
            left = [
                self._slow - work.seconds
                for works in self._running.values()
                for work in works
                if not work.queue.keep and work.seconds < self._slow
            ]
        return max(0.001, min(left)) if left else None

    def start(self, queue: Queue[Any], item: Any) -> Work:
        """Run an item in a thread."""
        work = Work(queue, item)
        with self._changed:
            self._running.setdefault(queue.name, []).append(work)
            if queue.keep is not None and self._keeper is None:
                self._keeper = threading.Thread(
                    target=self._keep, name="dispatch-returns-keeper", daemon=True
                )
                self._keeper.start()
            # A new one for each item: what it costs is little beside a call to another system.
            thread = threading.Thread(
                target=self._run, args=(work,), name="dispatch-returns-worker", daemon=True
            )
            self._threads = {it for it in self._threads if it.is_alive()}
            try:
                thread.start()
            except RuntimeError:  # the interpreter ends, or there can be no more threads
                started = False
            else:
                started = True
                self._threads.add(thread)
        if not started:
            self._run(work)
        return work

    def wait_for(self, work: Work, seconds: float) -> bool:
        """Wait up to `seconds` for the end of an item; return whether it ended."""
        with self._changed:
            return self._changed.wait_for(lambda: work.ended, seconds)

    @property
    def slow(self) -> float:
        """How many seconds an item may run before it counts as slow."""
        return self._slow

    def close(self, seconds: float | None) -> bool:
        """Wait up to `seconds` for what runs; return whether all of it ended.

        What does not end in time goes on until the process ends.
        """
        ends = None if seconds is None else time.monotonic() + seconds
        with self._changed:
            done = self._changed.wait_for(lambda: not any(self._running.values()), seconds)
            self._closed = True
            self._changed.notify_all()
            threads = list(self._threads) if done else []
        for thread in threads:
            thread.join(None if ends is None else max(0.0, ends - time.monotonic()))
        return done

    def _run(self, work: Work) -> None:
        try:
            work.queue.run_safely(work.item)
        except BaseException:  # noqa: BLE001, S110 - SystemExit, say: this thread is not the process
            pass
        finally:
            with self._changed:
                work.ended = True
                self._running[work.queue.name].remove(work)
                self._changed.notify_all()
            self._ended()

    def _keep(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed, _LOOK_EVERY)
                kept = [
                    work for works in self._running.values() for work in works if work.queue.keep
                ]
                if self._closed or not kept:
                    self._keeper = None
                    return
            for work in kept:
                work.queue.keep_safely(work.item, work.seconds)
