"""Message brokers for Celery: each test has a queue of its own, which is gone afterwards.

The servers are those at their usual ports, or in `TEST_REDIS_URL` and `TEST_RABBITMQ_URL`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from celery import Celery
from kombu import Connection

SERVERS = {
    "redis": os.environ.get("TEST_REDIS_URL") or "redis://127.0.0.1:6379/0",
    "rabbitmq": os.environ.get("TEST_RABBITMQ_URL") or "amqp://guest:guest@127.0.0.1:5672//",
}
Conf = dict[str, Any]


@contextmanager
def new_queue(name: str) -> Iterator[Conf]:
    """Give the settings of a Celery app with a queue of its own at the broker `name`."""
    if (why := _why_not(name)) is not None:
        pytest.skip(f"needs {name}: {why}")
    queue = f"dispatch-returns-{uuid.uuid4().hex}"
    conf: Conf = {
        "broker_url": SERVERS[name],
        "task_default_queue": queue,
        "worker_enable_remote_control": False,
        "broker_connection_retry_on_startup": True,
    }
    if name == "redis":
        conf["broker_transport_options"] = {"global_keyprefix": f"{queue}:"}
    try:
        yield conf
    finally:
        _remove(name, conf)


def purge(conf: Conf) -> int:
    """Throw away what waits in the queue; return how many messages that were."""
    app = Celery("purge", set_as_current=False)
    app.conf.update(conf)
    with app.connection_for_write() as connection:
        channel: Any = connection.default_channel
        purged: int = channel.queue_purge(conf["task_default_queue"])
        return purged


def length(conf: Conf) -> int:
    """Return how many messages wait in the queue."""
    app = Celery("look", set_as_current=False)
    app.conf.update(conf)
    with app.connection_for_read() as connection:
        # Not a passive one: with a key prefix, Redis' transport finds no queue that way.
        channel: Any = connection.default_channel
        declared = channel.queue_declare(
            conf["task_default_queue"], durable=True, auto_delete=False
        )
        waiting: int = declared.message_count
        return waiting


@cache
def _why_not(name: str) -> str | None:
    try:
        with Connection(SERVERS[name], connect_timeout=5) as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
    except Exception as error:  # noqa: BLE001 - each transport has its own
        return type(error).__name__
    return None


def _remove(name: str, conf: Conf) -> None:
    queue = conf["task_default_queue"]
    if name == "redis":
        import redis

        with redis.Redis.from_url(SERVERS[name]) as server:
            for key in server.scan_iter(f"*{queue}*"):
                server.delete(key)
        return
    with Connection(SERVERS[name]) as connection:
        channel: Any = connection.default_channel
        channel.queue_delete(queue)
        channel.exchange_delete(queue)
