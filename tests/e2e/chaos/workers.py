"""The processes under test: workers, and receivers beside them. They may die at any moment."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import uvicorn

from dispatch_returns.connector import Connector
from dispatch_returns.errors import StoreError
from dispatch_returns.refunds.pace import Pace
from dispatch_returns.settings import Settings
from dispatch_returns.webhooks import asgi

FIRST_RETRY = timedelta(seconds=0.2)
LONGEST_RETRY = timedelta(seconds=3)


@dataclass(frozen=True)
class Orders:
    """What a process is told. ``ahead`` (seconds) may be changed while it runs."""

    settings: dict[str, Any]
    lease: float
    log: str
    ahead: Any = None
    port: int | None = None

    def connector(self) -> Connector:
        """Build a connector that is quick to try again."""

        def clock() -> datetime:
            return datetime.now(UTC) + timedelta(seconds=self.ahead.value if self.ahead else 0)

        pace = Pace(
            lease=timedelta(seconds=self.lease),
            first_retry=FIRST_RETRY,
            longest_retry=LONGEST_RETRY,
        )
        return Connector(Settings(**self.settings), pace=pace, clock=clock)


def work(orders: Orders) -> None:
    """Work until the process that runs the test is gone."""
    _log_to(orders.log)
    _open(orders).start()
    _when_the_parent_ends()


def receive(orders: Orders) -> None:
    """Take deliveries at a port."""
    _log_to(orders.log)
    threading.Thread(target=_when_the_parent_ends, daemon=True).start()
    assert orders.port is not None
    application: Any = asgi.app(_open(orders))
    uvicorn.run(application, host="127.0.0.1", port=orders.port, log_config=None, lifespan="off")


def _open(orders: Orders) -> Connector:
    """Build the connector, or end: whoever watches over this process starts it again."""
    try:
        return orders.connector()
    except StoreError as error:
        logging.error("cannot start: %s", error)  # noqa: LOG015, TRY400 - the message says it all
        os._exit(1)


def _when_the_parent_ends() -> None:
    """End with it, whatever runs."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    multiprocessing.connection.wait([parent.sentinel])
    os._exit(0)


def _log_to(path: str) -> None:
    logging.basicConfig(
        filename=path,
        level=logging.INFO,
        format=f"%(asctime)s {os.getpid()} %(levelname)s %(name)s: %(message)s",
    )
    for chatty in ("httpx", "stripe", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
