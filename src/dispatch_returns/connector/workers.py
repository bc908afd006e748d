"""How work is claimed and run: queues, the threads that run their items, and the runner.

Each kind of work has its own slots, so what hangs delays nothing of another kind. It delays
little of its own: our calls all end at a time limit, so an item that runs longer than `SLOW`
gives its slot to the next. The merchant's functions may never end, so each keeps its slot, and
its lease is extended.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import traceback
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar
from weakref import WeakSet

from dispatch_returns.errors import StoreError, TransitionError
from dispatch_returns.telemetry import ids

T = TypeVar("T")

log = logging.getLogger(__name__)

DRAIN_SECONDS = 30.0
"""How long a stop waits for the running items."""
SLOW = 0.5
"""Seconds after which a running item no longer occupies a slot."""
MORE = 4
"""By at least how much the slots of a kind are multiplied while one of its items is slow: if many
hang, the others soon get their turn."""
MOST_SLOW = 128
"""How many slow items of one kind may run next to the others: each is a waiting thread."""
_KEEP_EVERY = 1.0


@dataclass(frozen=True, slots=True)
class Queue(Generic[T]):
    """Work that several workers may claim at once.

    `claim` claims up to so many items under a lease; `run` processes one. An item whose `run`
    raised, or whose worker died, is claimed again when its lease ends. If `run` may never return,
    `keep` is called each second with the item and the seconds that it has run. `look` gives the
    names of the queues that have something due; queues with the same one share a look.
    """

    name: str
    claim: Callable[[int], list[T]]
    run: Callable[[T], None]
    keep: Callable[[T, float], None] | None = None
    look: Callable[[], Container[str]] | None = None

    def only_if(self, allowed: Callable[[], bool]) -> Queue[T]:
        """Return the same queue, from which nothing is claimed unless `allowed` returns True."""

        def claim(limit: int) -> list[T]:
            return self.claim(limit) if allowed() else []

        return replace(self, claim=claim)

    def claim_safely(self, limit: int) -> list[T]:
        """Claim up to `limit` items; if that is not possible now, log it and return none."""
        try:
            return self.claim(limit)
        except StoreError as error:
            log.error("%s: nothing can be claimed now: %s", self.name, error, extra=ids())  # noqa: TRY400 - the message is enough
        except Exception as error:  # noqa: BLE001 - the next attempt may succeed
            kind = type(error).__name__  # without the traceback, which may show customers' data
            log.error("%s: nothing can be claimed: %s", self.name, kind, extra=ids())  # noqa: TRY400
        return []

    def run_safely(self, item: T) -> None:
        """Run one item; of an error, log the class and the place, but never the message."""
        try:
            self.run(item)
        except TransitionError as error:  # its message contains only ids and states
            log.error("%s: %s", self.name, error, extra=_ids(item))  # noqa: TRY400 - the message is enough
        except Exception as error:  # noqa: BLE001 - one bad item must not end the worker
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error(  # noqa: TRY400 - a traceback may show customers' data
                "%s: an item failed with %s at %s:%s and is claimed again when its lease ends",
                self.name,
                type(error).__name__,
                place.filename,
                place.lineno,
                extra=_ids(item),
            )

    def keep_safely(self, item: T, seconds: float) -> None:
        """Extend the lease of a running item; if that is not possible now, log it."""
        try:
            if self.keep is not None:
                self.keep(item, seconds)
        except Exception as error:  # noqa: BLE001 - the next attempt may succeed
            log.warning(
                "%s: a lease can't be extended: %s", self.name, type(error).__name__, extra=ids()
            )


def due(queues: Sequence[Queue[Any]]) -> list[Queue[Any]]:
    """Return those of `queues` that may have something due, after one look for all of them.

    Raises `StoreUnavailableError`.
    """
    seen = {look: look() for look in {queue.look for queue in queues} if look is not None}
    return [it for it in queues if it.look is None or it.name in seen[it.look]]


def due_safely(queues: Sequence[Queue[Any]]) -> Sequence[Queue[Any]]:
    """Like `due`; all of them if that is not possible now: their claims log why."""
    try:
        return due(queues)
    except Exception:  # noqa: BLE001 - the next attempt may succeed
        return queues


def _ids(item: object) -> dict[str, str | None]:
    return {name: getattr(item, name, None) for name in ids()}


def work_off(queues: Sequence[Queue[object]], batch: int = 32) -> int:
    """Process everything that is due, in this thread; return how many items there were.

    Raises `StoreUnavailableError` if a queue can't be claimed from. What was claimed before is
    still processed, because otherwise it would wait for the end of its lease.
    """
    done = 0
    busy = True
    while busy:
        busy = False
        for queue in due(queues):
            items = queue.claim(batch)
            for item in items:
                queue.run_safely(item)
            done += len(items)
            busy = busy or bool(items)
    return done


@dataclass(eq=False, slots=True)
class Work:
    """A running item."""

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
            # The more are slow, the more are started: all that hang are found after a few rounds.
            more = max(self._slots * MORE, min(2 * slow, self._most_slow))
            slots = more if slow else self._slots
            return max(0, slots - len(running) + min(slow, self._most_slow))

    def next_free(self) -> float | None:
        """Return the seconds until a running item counts as slow, None if none will."""
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
            # A new one for each item: it costs little compared with a call to another system.
            thread = threading.Thread(
                target=self._run, args=(work,), name="dispatch-returns-worker", daemon=True
            )
            self._threads = {it for it in self._threads if it.is_alive()}
            try:
                thread.start()
            except RuntimeError:  # the interpreter is ending, or there can be no more threads
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
        """Wait up to `seconds` for the running items; return whether all of them ended.

        Those that do not end in time run until the process ends.
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
        except BaseException:  # noqa: BLE001, S110 - such as SystemExit: this thread is not the process
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
                self._changed.wait_for(lambda: self._closed, _KEEP_EVERY)
                kept = [
                    work for works in self._running.values() for work in works if work.queue.keep
                ]
                if self._closed or not kept:
                    self._keeper = None
                    return
            for work in kept:
                work.queue.keep_safely(work.item, work.seconds)


class ThreadRunner:
    """Claims what is due and runs it, `workers` of each kind of work at once, until it is stopped.

    What a dead process had claimed is due again when its lease ends, so a start is all that is
    needed after a crash. `poll` (seconds) is how long work from other processes may wait; `wake`
    signals that there is some now, and `listen` calls it for other processes' work until its
    result is called.
    """

    def __init__(
        self,
        queues: Sequence[Queue[object]],
        workers: int,
        poll: float = 1.0,
        listen: Callable[[Callable[[], None]], Callable[[], None]] = lambda _: lambda: None,
    ) -> None:
        self._queues = queues
        self._workers = workers
        self._poll = poll
        self._listen = listen
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
            self._run.start(self._listen)
            _started.add(self)

    @property
    def is_running(self) -> bool:
        """Return whether the threads run in this process."""
        return self._run is not None and self._pid == os.getpid()

    def wake(self) -> None:
        """Signal that there is something to do."""
        self._wake.set()

    def stop(self, timeout: float | None = None) -> bool:
        """Claim nothing more and wait for the running items; return whether all of them ended.

        `timeout` is in seconds. An item that did not end in time runs until the process ends, and
        is claimed again by the next one.
        """
        run, self._run = self._run, None
        # After a fork it belongs to the parent, whose threads do not exist here.
        return run is None or self._pid != os.getpid() or run.stop(timeout)


class _Run:
    """One start of the runner, to its stop."""

    def __init__(
        self, queues: Sequence[Queue[object]], workers: int, poll: float, wake: threading.Event
    ) -> None:
        self._queues = queues
        self._poll = poll
        self._wake = wake
        # What follows from one step is due at once.
        self._crew = Crew(workers, ended=wake.set)
        self._stopping = False
        self._thread = threading.Thread(
            target=self._claim_until_stopped, name="dispatch-returns-claimer", daemon=True
        )

    def start(self, listen: Callable[[Callable[[], None]], Callable[[], None]]) -> None:
        self._thread.start()
        self._unlisten = listen(self._wake.set)

    def stop(self, timeout: float | None) -> bool:
        ends = None if timeout is None else time.monotonic() + timeout
        self._stopping = True
        self._unlisten()
        self._wake.set()
        self._thread.join(timeout)  # so that nothing is started after `close`
        left = None if ends is None else max(0.0, ends - time.monotonic())
        return self._crew.close(left) and not self._thread.is_alive()

    def _claim_until_stopped(self) -> None:
        while not self._stopping:
            self._wake.clear()
            found = False
            for queue in due_safely(self._queues):
                # No more than can be run: an item that waits in line would lose its lease.
                free = self._crew.free(queue)
                if not free or self._stopping:
                    continue
                for item in queue.claim_safely(free):
                    self._crew.start(queue, item)
                    found = True
            if not found:
                self._wake.wait(min(self._poll, self._crew.next_free() or self._poll))


_started: WeakSet[ThreadRunner] = WeakSet()


@atexit.register
def _finish_what_runs() -> None:
    """Finish the running items when the interpreter ends, which would kill daemon threads."""
    for runner in list(_started):
        runner.stop(DRAIN_SECONDS)
