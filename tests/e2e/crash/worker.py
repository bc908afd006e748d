"""A worker process that dies, by SIGKILL, at one named point.

It wraps the store, the client and the adapter from outside: the package knows nothing of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from dispatch_returns.connector import Connector
from dispatch_returns.settings import Settings


@dataclass(frozen=True)
class Orders:
    """What a worker is told: its settings, where to die, how far its clock is ahead (seconds)."""

    settings: dict[str, Any]
    die_at: str | None = None
    ahead: float = 0.0


def run(orders: Orders) -> None:
    """Do all that is due, or die on the way."""
    ahead = timedelta(seconds=orders.ahead)
    connector = Connector(Settings(**orders.settings), clock=lambda: datetime.now(UTC) + ahead)
    if orders.die_at is not None:
        _arm(connector, orders.die_at)
    connector.work_off()
    connector.close()


def _arm(connector: Connector, point: str) -> None:
    when, step = point.split(" ")
    _watch_writes(connector, when, step)
    place, _, method = step.partition(".")
    owner = {
        "adapter": connector.adapter,
        "tickets": connector.client.tickets,
        "comments": connector.client.comments,
    }.get(place)
    if owner is not None:
        setattr(owner, method, _deadly(getattr(owner, method), when))


def _watch_writes(connector: Connector, when: str, step: str) -> None:
    write = connector.store.write

    def watched(name: str, work: Callable[[Any], Any]) -> Any:
        if name != step:
            return write(name, work)
        if when == "after":
            result = write(name, work)
            _die()
            return result

        def dies_before_the_commit(conn: Any) -> Any:
            work(conn)
            _die()

        return write(name, dies_before_the_commit)

    connector.store.write = watched  # type: ignore[method-assign]


def _deadly(call: Callable[..., Any], when: str) -> Callable[..., Any]:
    def dies(*args: Any, **kwargs: Any) -> Any:
        if when == "after":
            call(*args, **kwargs)
        _die()

    return dies


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
