"""Celery as the runner: the workers of the merchant's own app do what is due.

A message only says that there may be work: the work itself is in the store, and is claimed there.
So a message may be lost, late, repeated or out of order. What one leaves undone, the next one
finds. Celery's beat sends one every few seconds: this sweep also finds postponed work.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from weakref import WeakSet

from dispatch_returns.connector.workers import Crew, Queue, Work, due_safely
from dispatch_returns.errors import InvalidArgumentError, MissingExtraError
from dispatch_returns.telemetry import ids

try:
    from celery import Celery
except ImportError as error:
    raise MissingExtraError("celery", "the Celery runner") from error

__all__ = ["install"]

log = logging.getLogger(__name__)

TASK = "dispatch_returns.work"
"""The task's name, for ``task_routes`` and for another scheduler than beat."""
SWEEP = "dispatch-returns-sweep"
"""The sweep's name in beat's schedule."""
_TURN_SECONDS = 5.0
"""How long one task may run, even if items hang: a worker that is stopping waits for it."""

_apps: WeakSet[Celery] = WeakSet()


class HasWork(Protocol):
    """What `install` takes: a `Connector`."""

    @property
    def queues(self) -> Sequence[Queue[Any]]:
        """What to claim and run."""
        ...

    def wake_also(self, wake: Callable[[], None], /) -> None:
        """Call `wake` whenever there is something to do."""
        ...


def install(app: Celery, connector: HasWork, *, sweep_every: float = 10.0) -> None:
    """Make the workers of `app` do the connector's work, and its beat send the sweep.

    Call it in code that web processes, workers and beat all run: next to the app, or in Django's
    ``AppConfig.ready``. After each event that is on disk a message is sent, from a separate
    thread, so that no request waits for the broker. `sweep_every` is in seconds: the most that
    work waits whose message was lost, and the most that a retry is late.

    Raises `InvalidArgumentError` for an app that already has a connector.

    Example::

        app = Celery("shop", broker="redis://localhost")
        install(app, Connector.from_env())
    """
    if app in _apps:
        raise InvalidArgumentError("app", "it already has a connector: use one app for each")
    if sweep_every <= 0:
        raise InvalidArgumentError("sweep_every", "give the seconds between two sweeps, such as 10")
    _apps.add(app)
    crews: dict[int, Crew] = {}

    # Acknowledged late, so that the message of a worker that is killed goes to another one.
    @app.task(
        name=TASK, shared=False, ignore_result=True, acks_late=True, reject_on_worker_lost=True
    )
    def work() -> int:
        crew = crews.setdefault(os.getpid(), Crew(1))  # threads do not survive a fork
        return take_turn(connector.queues, bell.ring, crew)

    bell = Bell(lambda: work.apply_async(retry=False))
    connector.wake_also(bell.ring)
    app.add_periodic_task(sweep_every, app.signature(TASK), name=SWEEP)


def take_turn(
    queues: Sequence[Queue[Any]],
    wake: Callable[[], None],
    crew: Crew,
    seconds: float = _TURN_SECONDS,
) -> int:
    """Do what is due, one item of each kind at a time; return how many items were started.

    If there is one, there may be more: `wake` calls another worker, and again after `seconds`, if
    this turn ends with work left. It ends then even if items hang: they continue in a thread of
    the process.
    """
    ends = time.monotonic() + seconds
    begun: list[Work] = []
    while True:
        found = False
        for queue in due_safely(queues):
            # No more than can be run: an item that waits in line would lose its lease.
            for item in queue.claim_safely(1) if crew.free(queue) else ():
                if not begun:
                    wake()
                begun.append(crew.start(queue, item))
                crew.wait_for(begun[-1], crew.slow)
                found = True
        left = ends - time.monotonic()
        if found and left < 0:
            wake()
            break
        slow = next((work for work in begun if not work.ended), None)
        if not found and (slow is None or left < 0 or not crew.wait_for(slow, left)):
            break
    return len(begun)


class Bell:
    """Calls `send` in a separate thread, once for all rings that come while it is busy.

    A broker that does not answer blocks only that thread. Each process has its own, started with
    the first ring, because threads do not survive a fork.
    """

    def __init__(self, send: Callable[[], object]) -> None:
        self._send = send
        self._rung: dict[int, threading.Event] = {}

    def ring(self) -> None:
        """Send a message soon."""
        rung = self._rung.get(os.getpid())
        if rung is None:
            new = threading.Event()
            rung = self._rung.setdefault(os.getpid(), new)
            if rung is new:  # and not that of another thread, which rang at the same moment
                threading.Thread(
                    target=self._run, args=(rung,), name="dispatch-returns-bell", daemon=True
                ).start()
        rung.set()

    def _run(self, rung: threading.Event) -> None:
        while True:
            rung.wait()
            rung.clear()
            try:
                self._send()
            except Exception as error:  # noqa: BLE001 - without this thread no message would be sent
                log.warning(
                    "no message was sent (%s): the sweep will find the work",
                    type(error).__name__,
                    extra=ids(),
                )
