"""What the clients of a process share."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

import dispatch_sandbox
from dispatch_returns.client import AsyncDispatchClient, DispatchClient, connections
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_returns.returns.orders.woocommerce import WooCommerceOrders


@pytest.fixture
def nothing_read() -> Iterator[None]:
    connections.tls.cache_clear()
    yield
    connections.tls.cache_clear()


def test_certificates_are_read_once_for_all_clients(
    nothing_read: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = list[Any]()
    load = ssl.SSLContext.load_verify_locations

    def loading(context: ssl.SSLContext, *args: Any, **named: Any) -> None:
        read.append(args)
        load(context, *args, **named)

    monkeypatch.setattr(ssl.SSLContext, "load_verify_locations", loading)
    for _ in range(2):
        DispatchClient("key", "ws").close()
        asyncio.run(AsyncDispatchClient("key", "ws").aclose())
        StripeAdapter("sk_test_x").close()
        WooCommerceOrders("https://shop.example", "ck_x", "cs_x").close()
    assert len(read) == 1


def test_a_call_waits_for_no_connection_that_others_hang_on() -> None:
    with (
        dispatch_sandbox.running() as box,
        contextlib.closing(connections.Connections(None, 30.0).client) as client,
        contextlib.ExitStack() as accepted,
        socket.create_server(("127.0.0.1", 0), backlog=256) as hanging,
    ):

        def hang() -> None:
            with contextlib.suppress(httpx.HTTPError):
                client.get(f"http://127.0.0.1:{hanging.getsockname()[1]}")

        threads = [threading.Thread(target=hang) for _ in range(101)]
        for thread in threads:
            thread.start()
        for _ in threads[:100]:
            accepted.enter_context(hanging.accept()[0])
        assert client.get(box.url, timeout=httpx.Timeout(20.0, pool=1.0)).status_code < 500
        accepted.enter_context(hanging.accept()[0])
        accepted.close()
        for thread in threads:
            thread.join()
