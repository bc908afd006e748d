"""Processes that fork: on one connection they would read each other's answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import httpx
import pytest

from dispatch_returns.client import DispatchClient
from dispatch_returns.errors import ConfigurationError
from dispatch_returns.refunds.adapter import PaymentRef
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_returns.returns.orders.woocommerce import WooCommerceOrders
from tests.support.api_server import ApiServer, Received, Reply
from tests.support.forks import forks, in_a_child
from tests.support.order_shops import ticket

TICKET = {"id": "tkt_1", "workspace_id": "ws_1", "subject": "Jane's", "status": "open"}
CHARGE = {
    "id": "ch_1",
    "object": "charge",
    "amount": 14900,
    "amount_captured": 14900,
    "amount_refunded": 0,
    "captured": True,
    "currency": "usd",
    "disputed": False,
    "status": "succeeded",
}
Use = Callable[[], object]
Make = Callable[[str], AbstractContextManager[Use]]


@contextmanager
def client(url: str) -> Iterator[Use]:
    with DispatchClient("sk_live_1", "ws_1", base_url=url) as dispatch:
        yield lambda: dispatch.tickets.get("tkt_1")


@contextmanager
def a_copy_of_a_client(url: str) -> Iterator[Use]:
    with DispatchClient("sk_live_1", "ws_1", base_url=url) as dispatch:
        hasty = dispatch.with_options(max_retries=0)
        yield lambda: hasty.tickets.get("tkt_1")


@contextmanager
def stripe(url: str) -> Iterator[Use]:
    with closing(StripeAdapter("sk_test_1", base_url=url.removesuffix("/v1"))) as adapter:
        yield lambda: adapter.payment(PaymentRef("charge", "ch_1"))


@contextmanager
def shop(url: str) -> Iterator[Use]:
    with closing(WooCommerceOrders(url.removesuffix("/v1"), "ck_1", "cs_1")) as source:
        yield lambda: source.order("x1", ticket())


def answer(received: Received) -> Reply:
    if "/wc/v3/" in received.path:
        return Reply(body=[])
    return Reply(body=CHARGE if "charges" in received.path else TICKET)


@forks
@pytest.mark.parametrize("proxied", [False, True], ids=["direct", "proxied"])
@pytest.mark.parametrize("make", [client, a_copy_of_a_client, stripe, shop])
def test_a_child_opens_connections_of_its_own(
    server: ApiServer, monkeypatch: pytest.MonkeyPatch, make: Make, proxied: bool
) -> None:
    if proxied:  # the server is its own proxy: it does not mind the whole address
        monkeypatch.setenv("HTTP_PROXY", server.url.removesuffix("/v1"))
    server.otherwise = answer
    with make(server.url) as use:
        use()
        assert in_a_child(use) == 0
        assert in_a_child(use) == 0
        use()
    before, one, other, after = (it.connection for it in server.received)
    assert before == after
    assert len({before, one, other}) == 3


@forks
def test_a_client_of_ones_own_is_ones_own_affair(server: ApiServer) -> None:
    server.otherwise = answer
    with httpx.Client() as mine:
        dispatch = DispatchClient("sk_live_1", "ws_1", base_url=server.url, http_client=mine)
        dispatch.tickets.get("tkt_1")
        assert in_a_child(lambda: dispatch.tickets.get("tkt_1")) == 0
    assert len({it.connection for it in server.received}) == 1


@forks
def test_what_is_closed_stays_closed_in_a_child(server: ApiServer) -> None:
    server.otherwise = answer
    with DispatchClient("sk_live_1", "ws_1", base_url=server.url) as dispatch:
        dispatch.tickets.get("tkt_1")

    def use() -> None:
        with pytest.raises(ConfigurationError, match="closed"):
            dispatch.tickets.get("tkt_1")

    assert in_a_child(use) == 0
