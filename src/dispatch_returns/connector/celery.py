"""Celery as the engine: the workers of the merchant's own app do what is due.

A message says no more than "look": what there is to do stands in the store, and is claimed
there. So a message may be lost, late, repeated or out of order. Whatever one leaves behind, the
next one finds, and Celery's beat sends one every few seconds: that is the sweep, which also finds
what was put off until later.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from weakref import WeakSet

from dispatch_returns.connector.crew import Crew, Work
from dispatch_returns.connector.queues import Queue
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
"""How long one task goes on, whatever hangs: a worker that is told to stop waits for it."""

_apps: WeakSet[Celery] = WeakSet()


class HasWork(Protocol):
    """What `install` takes: a `Connector`."""

    @property
    def queues(self) -> Sequence[Queue[Any]]:
        """What there is to claim and to run."""
        ...

    def wake_also(self, wake: Callable[[], None], /) -> None:
        """Have `wake` called when there is something to do."""
        ...


def install(app: Celery, connector: HasWork, *, sweep_every: float = 10.0) -> None:
    """Let the workers of `app` do the connector's work, and its beat send the sweep.

    Call it where the web processes, the workers and beat all come by: beside the app, or in
    Django's ``AppConfig.ready``. After each event that is on disk a message is sent, from a
    thread of its own, so that no request waits for a broker. `sweep_every` is in seconds: how
    late work may be found whose message was lost, and how late a retry may be.

    Raises `InvalidArgumentError` for an app that has a connector already.

    Example::

        app = Celery("shop", broker="redis://localhost")
        install(app, Connector.from_env())
    """
    if app in _apps:
        raise InvalidArgumentError("app", "it works for a connector already: use one app for each")
    if sweep_every <= 0:
        raise InvalidArgumentError("sweep_every", "give the seconds between two looks, such as 10")
    _apps.add(app)
    crews: dict[int, Crew] = {}

    # Late, so that a worker that is killed gives its message back: somebody looks at once.
    @app.task(
        name=TASK, shared=False, ignore_result=True, acks_late=True, reject_on_worker_lost=True
    )
    def work() -> int:
        crew = crews.setdefault(os.getpid(), Crew(1))  # threads do not come along through a fork
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
    """Do what is due, one item of each kind at a time; return how many items were begun.

    Where there is one, there may be more: `wake` calls another worker beside this one, and
    again after `seconds`, when this one ends its turn with work left. It ends by then whatever
    hangs: what has not ended goes on in a thread of the process, and is not waited for.
    """
    ends = time.monotonic() + seconds
    begun: list[Work] = []
    while True:
        found = False
        for queue in queues:
            # No more than can be run: what waits in line would lose its lease there.
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
    """Calls `send` in a thread of its own, once for all rings that come while it is busy.

    A broker that does not answer holds up that thread and nothing else. Each process has its
    own, started with the first ring: threads do not come along through a fork.
    """

    def __init__(self, send: Callable[[], object]) -> None:
        self._send = send
        self._rung: dict[int, threading.Event] = {}

    def ring(self) -> None:
        """Have a message sent soon."""
        rung = self._rung.get(os.getpid())
        if rung is None:
            new = threading.Event()
            rung = self._rung.setdefault(os.getpid(), new)
            if rung is new:  # and not that of another thread which rang at this moment
                self._start(rung)
        rung.set()

    def _start(self, rung: threading.Event) -> None:
        threading.Thread(
            target=self._run, args=(rung,), name="dispatch-returns-bell", daemon=True
        ).start()

    def _run(self, rung: threading.Event) -> None:
        while True:
            rung.wait()
            rung.clear()
            try:
                self._send()
            except Exception as error:  # noqa: BLE001 - without this thread nobody would be told any more
                log.warning(
                    "no message sent (%s): the sweep finds the work",
                    type(error).__name__,
                    extra=ids(),
                )
