"""A delivery is answered at once, whatever the broker does: it is on disk."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from dispatch_returns import Connector, Settings
from dispatch_returns.connector.celery import install
from tests.support import brokers, webhooks
from tests.support.ports import free_port
from tests.support.stores import open_store
from tests.support.waiting import wait_until

AT_ONCE = 3.0
"""Seconds. The sender gives up after ten; a busy machine takes a tenth of one."""


@pytest.fixture
def connector(tmp_path: Path) -> Iterator[Connector]:
    settings = Settings.model_validate(
        {
            "api_key": "sk_1",
            "workspace": "ws_1",
            "webhook_secrets": [webhooks.SECRET],
            "adapters": ["manual"],
        }
    )
    with Connector(settings, store=open_store(tmp_path), clock=webhooks.clock) as connector:
        yield connector


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


def deliver(connector: Connector, number: int) -> float:
    """Deliver an event; return how long the answer took (seconds)."""
    body = webhooks.event_body(id=f"evt_{number}")
    begun = time.monotonic()
    answer = connector.receivers["dispatch"].receive("POST", webhooks.signed(body), body)
    took = time.monotonic() - begun
    assert answer.status == 200
    return took


@pytest.mark.parametrize("url", ["redis://127.0.0.1:{}/0", "amqp://guest@127.0.0.1:{}//"])
@pytest.mark.parametrize("broker", ["down", "silent"])
def test_nobody_waits_for_a_broker_that_is_down_or_silent(
    connector: Connector, silent: int, broker: str, url: str
) -> None:
    port = silent if broker == "silent" else free_port()
    install(Celery("shop", set_as_current=False, broker=url.format(port)), connector)
    assert max(deliver(connector, number) for number in range(20)) < AT_ONCE
    assert len(webhooks.stored(connector.store)) == 20


def test_an_event_loop_does_not_wait_for_it_either(connector: Connector, silent: int) -> None:
    install(Celery("shop", set_as_current=False, broker=f"redis://127.0.0.1:{silent}/0"), connector)
    receiver = connector.receivers["dispatch"]

    async def deliver_and_look() -> float:
        """Return the longest time in which the loop did nothing else."""
        body, longest, delivered = webhooks.event_body(), 0.0, False

        async def post() -> None:
            nonlocal delivered
            answer = await receiver.receive_async("POST", webhooks.signed(body), body)
            assert answer.status == 200
            delivered = True

        async with asyncio.TaskGroup() as group:
            group.create_task(post())
            while not delivered:
                before = time.monotonic()
                await asyncio.sleep(0.001)
                longest = max(longest, time.monotonic() - before)
        return longest

    assert asyncio.run(deliver_and_look()) < AT_ONCE


@pytest.mark.parametrize("name", sorted(brokers.SERVERS))
def test_an_accepted_event_sends_a_message_and_a_refused_one_does_not(
    connector: Connector, name: str
) -> None:
    with brokers.new_queue(name) as conf:
        app = Celery("shop", set_as_current=False)
        app.conf.update(conf)
        install(app, connector)
        body = webhooks.event_body()
        refused = connector.receivers["dispatch"].receive("POST", {}, body)
        assert refused.status == 401
        deliver(connector, 1)
        wait_until(lambda: brokers.length(conf) == 1, 30)
        deliver(connector, 1)  # a repeat is no work
        deliver(connector, 2)
        wait_until(lambda: brokers.length(conf) == 2, 30)
