"""What the clients of a process share."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from typing import Any

import pytest

from dispatch_returns.api import AsyncDispatchClient, DispatchClient, direct
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_returns.workflow.orders.woocommerce import WooCommerceOrders


@pytest.fixture
def nothing_read() -> Iterator[None]:
    direct.tls.cache_clear()
    yield
    direct.tls.cache_clear()


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
