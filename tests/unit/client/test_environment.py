"""What the environment says of the way out: followed, or refused with the variable's name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from dispatch_returns.client import AsyncDispatchClient, DispatchClient, connections
from dispatch_returns.client.exact_json import loads
from dispatch_returns.errors import ConfigurationError, InvalidArgumentError
from dispatch_returns.refunds.adapters.stripe import StripeAdapter
from dispatch_returns.returns.labels import registry
from dispatch_returns.returns.orders.shopify import ShopifyOrders

NAMES = ("no_proxy", "http_proxy", "https_proxy", "all_proxy", "ssl_cert_file", "ssl_cert_dir")
MAKERS: dict[str, Callable[[], object]] = {
    "client": lambda: DispatchClient("sk_test_x", "ws_1"),
    "async": lambda: asyncio.run(_opened()),
    "stripe": lambda: StripeAdapter("sk_test_x"),
    "shopify": lambda: ShopifyOrders("acme.myshopify.com", "t"),
}


async def _opened() -> None:
    await AsyncDispatchClient("sk_test_x", "ws_1").aclose()


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "localhost,fd07:b51a::/64"}, "NO_PROXY: "),
        ({"HTTPS_PROXY": "http://p:1", "NO_PROXY": "[::1]"}, "NO_PROXY: .* without brackets"),
        ({"HTTPS_PROXY": "ftp://s3cret@p:1"}, "HTTPS_PROXY: not the address of a proxy"),
        ({"ALL_PROXY": "socks5://s3cret@p:1"}, r"ALL_PROXY: .* pip install 'httpx\[socks\]'"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], object],
    environment: dict[str, str],
    words: str,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=words) as caught:
        make()
    assert "s3cret" not in f"{caught.value!r} {caught.value.__cause__!r}"


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_without_a_proxy_no_proxy_means_nothing(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], object]
) -> None:
    monkeypatch.setenv("NO_PROXY", "fd07:b51a:cc66:f0::/64,[::1]")
    make()


@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
def test_certificates_that_are_missing_are_named(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[], object]
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/ca.pem")
    connections.tls.cache_clear()
    with pytest.raises(ConfigurationError, match=r"SSL_CERT_FILE .* Correct the path"):
        make()
    connections.tls.cache_clear()


@pytest.mark.parametrize("seller", ["easypost", "shippo"])
def test_sellers_of_labels_are_asked_through_the_proxy_too(
    monkeypatch: pytest.MonkeyPatch, seller: str
) -> None:
    pytest.importorskip(seller)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/ssl/corporate.pem")
    provider: Any = registry.load(seller, {"api_key": "k"})
    session = provider._http
    used = session.merge_environment_settings("https://api.example", {}, None, None, None)
    assert used["proxies"]["https"] == "http://proxy.example:3128"
    assert used["verify"] == "/etc/ssl/corporate.pem"
    assert session.auth is not None  # so a .netrc can't replace the key


@pytest.mark.parametrize("url", ["http://api.example/v1", "http://127.0.0.1.example/v1"])
def test_a_live_key_never_goes_over_plain_http_to_another_machine(url: str) -> None:
    for kind in (DispatchClient, AsyncDispatchClient):
        with pytest.raises(InvalidArgumentError, match="a live key goes over https only"):
            kind("sk_live_x", "ws_1", base_url=url)
        kind("sk_test_x", "ws_1", base_url=url)
    for host in ("127.0.0.1:9", "localhost:9", "[::1]:9"):
        DispatchClient("sk_live_x", "ws_1", base_url=f"http://{host}/v1").close()


def test_a_byte_order_mark_before_json_is_passed_over() -> None:
    assert loads(b'\xef\xbb\xbf{"a": 1}') == {"a": 1}
