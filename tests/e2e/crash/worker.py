"""A worker process that dies, by SIGKILL, at one named point.

It wraps the store, the client, the adapter and the merchant's parts from outside: the package
knows nothing of it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.settings import Settings
from dispatch_returns.returns.steps.workflow import Workflow
from tests.e2e.crash import merchant


@dataclass(frozen=True)
class Orders:
    """What a worker is told: its settings, where to die, how far its clock is ahead (seconds).

    `folder` is where the merchant's labels and notifications are, where returns walk their steps.
    """

    settings: dict[str, Any]
    die_at: str | None = None
    ahead: float = 0.0
    folder: Path | None = None


def run(orders: Orders) -> None:
    """Do all that is due, or die on the way."""
    ahead = timedelta(seconds=orders.ahead)
    parts = None if orders.folder is None else merchant.parts(orders.folder)
    connector = Connector(
        Settings(**orders.settings), workflow=parts, clock=lambda: datetime.now(UTC) + ahead
    )
    if orders.die_at is not None:
        arm(connector, orders.die_at, _kill, parts)
    connector.work_off()
    connector.close()


def arm(
    connector: Connector, point: str, die: Callable[[], None], parts: Workflow | None = None
) -> None:
    """Let `die` be called when `connector` comes to `point`."""
    when, step = point.split(" ")
    _watch_writes(connector, when, step, die)
    place, _, method = step.partition(".")
    owner: Any = {
        "adapter": next(iter(connector.adapters.values())),
        "tickets": connector.client.tickets,
        "comments": connector.client.comments,
        "attachments": connector.client.attachments,
        "labels": parts and parts.labels,
        "orders": parts and parts.orders,
        "notifier": parts and parts.notifier,
    }.get(place)
    if owner is None:
        return
    setattr(owner, method, _deadly(getattr(owner, method), when, die))
    if with_options := getattr(owner, "with_options", None):

        def changed(**options: Any) -> Any:
            resource = with_options(**options)
            setattr(resource, method, _deadly(getattr(resource, method), when, die))
            return resource

        owner.with_options = changed


def _watch_writes(connector: Connector, when: str, step: str, die: Callable[[], None]) -> None:
    write = connector.store.write

    def watched(name: str, work: Callable[[Any], Any]) -> Any:
        if name != step:
            return write(name, work)
        if when == "after":
            result = write(name, work)
            die()
            return result

        def dies_before_the_commit(conn: Any) -> Any:
            result = work(conn)
            die()
            return result

        return write(name, dies_before_the_commit)

    connector.store.write = watched  # type: ignore[method-assign]


def _deadly(call: Callable[..., Any], when: str, die: Callable[[], None]) -> Callable[..., Any]:
    def dies(*args: Any, **kwargs: Any) -> Any:
        if when == "before":
            die()
        result = call(*args, **kwargs)
        if when == "after":
            die()
        return result

    return dies


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
