"""A Celery app whose workers' processes die, by SIGKILL, once at each point they are told.

Each point is a file; who removes it dies there.
"""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from celery import Celery

from dispatch_returns.connector.celery import install
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.settings import Settings
from dispatch_returns.refunds.retry_schedule import RetrySchedule
from tests.e2e.crash import merchant
from tests.e2e.crash.worker import arm

ORDERS = "CRASH_TEST_ORDERS"
LEASE = timedelta(seconds=2)
"""Short, for what a dead worker had is waited for here and not skipped by a clock."""


@dataclass(frozen=True)
class CeleryOrders:
    """What the app is told: the connector's settings, Celery's, and where to die."""

    settings: dict[str, Any]
    celery: dict[str, Any]
    points: str | None = None
    """A folder with an empty file for each point."""
    merchant: str | None = None
    """Where the merchant's labels and notifications are, where returns walk their steps."""

    def environment(self, folder: Path) -> dict[str, str]:
        """Write the orders down; return the variable that leads to them."""
        path = folder / "orders.json"
        path.write_text(json.dumps(asdict(self)))
        return {ORDERS: str(path)}


def die_once(point: Path) -> None:
    try:
        point.unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def build(orders: CeleryOrders) -> Celery:
    app = Celery("crash")
    app.conf.update(orders.celery)
    parts = merchant.parts(Path(orders.merchant)) if orders.merchant else None
    retry_schedule = RetrySchedule(lease=LEASE, first_retry=timedelta(seconds=1))
    connector = Connector(
        Settings(**orders.settings), workflow=parts, retry_schedule=retry_schedule
    )
    for point in Path(orders.points).iterdir() if orders.points else ():
        arm(connector, point.name, partial(die_once, point), parts)
    install(app, connector, sweep_every=0.5)
    return app


if ORDERS in os.environ:
    app = build(CeleryOrders(**json.loads(Path(os.environ[ORDERS]).read_text())))
