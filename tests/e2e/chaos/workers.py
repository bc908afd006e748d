"""The processes under test: workers, and receivers beside them. They may die at any moment."""

from __future__ import annotations

import logging
import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import uvicorn
from celery import Celery

from dispatch_returns.connector.celery import install
from dispatch_returns.connector.connector import Connector
from dispatch_returns.connector.settings import Settings
from dispatch_returns.errors import StoreError
from dispatch_returns.refunds.retry_schedule import RetrySchedule
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
    broker: str | None = None

    def connector(self) -> Connector:
        """Build a connector that is quick to try again."""

        def clock() -> datetime:
            return datetime.now(UTC) + timedelta(seconds=self.ahead.value if self.ahead else 0)

        retry_schedule = RetrySchedule(
            lease=timedelta(seconds=self.lease),
            first_retry=FIRST_RETRY,
            longest_retry=LONGEST_RETRY,
        )
        return Connector(Settings(**self.settings), retry_schedule=retry_schedule, clock=clock)


def work(orders: Orders) -> None:
    """Work until the process that runs the test is gone."""
    _begin(orders)
    _open(orders).start()
    threading.Event().wait()


def receive(orders: Orders) -> None:
    """Take deliveries at a port."""
    _begin(orders)
    assert orders.port is not None
    connector = _open(orders)
    if orders.broker is not None:
        install(Celery("chaos", broker=orders.broker), connector)
    application: Any = asgi.app(connector)
    uvicorn.run(application, host="127.0.0.1", port=orders.port, log_config=None, lifespan="off")


def work_with_celery(orders: Orders) -> None:
    """Be a Celery worker, with two processes of its own."""
    _begin(orders)
    options = ("--pool=prefork", "--concurrency=2", "--without-mingle", "--without-gossip")
    _celery(orders).worker_main(["worker", "--loglevel=WARNING", *options])


def beat(orders: Orders) -> None:
    """Be Celery's beat, which sends the sweep."""
    _begin(orders)
    _celery(orders).start(["beat", "--loglevel=WARNING", f"--schedule={orders.log}.schedule"])


def _celery(orders: Orders) -> Celery:
    app = Celery("chaos", broker=orders.broker)
    app.conf.update(
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={"visibility_timeout": 10},
    )
    install(app, _open(orders), sweep_every=1.0)
    return app


def _begin(orders: Orders) -> None:
    """Be the head of a group, whose processes end with this one, and all with the parent."""
    os.setpgrp()
    with Path(orders.log).open("a") as log:
        os.dup2(log.fileno(), 1)  # Celery has much to say, too
        os.dup2(log.fileno(), 2)
    logging.basicConfig(
        filename=orders.log,
        level=logging.INFO,
        format=f"%(asctime)s {os.getpid()} %(levelname)s %(name)s: %(message)s",
    )
    for chatty in ("httpx", "stripe", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    threading.Thread(target=_when_the_parent_ends, daemon=True).start()


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
    os.killpg(os.getpgrp(), signal.SIGKILL)
