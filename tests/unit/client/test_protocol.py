"""What becomes of a request that got no whole answer, and what a Retry-After means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest
import respx
from hypothesis import given
from hypothesis import strategies as st

from dispatch_returns import errors
from dispatch_returns.client import DispatchClient
from dispatch_returns.client.protocol import ApiRequest, retry_after, transport_error

NOW = datetime(2024, 1, 15, 12, tzinfo=UTC)
SENT = ApiRequest("GET", "/workspaces/ws_1/customers", "http://x/?q=jane", {}, None)
LEAKY = "Illegal header value b'Bearer sk_live_secret' jane@example.com"


@pytest.mark.parametrize(
    ("cause", "kind", "retryable"),
    [
        (httpx.ConnectTimeout(LEAKY), errors.APITimeoutError, True),
        (httpx.ReadTimeout(LEAKY), errors.APITimeoutError, True),
        (httpx.WriteTimeout(LEAKY), errors.APITimeoutError, True),
        (httpx.PoolTimeout(LEAKY), errors.APITimeoutError, True),
        (httpx.ReadError(LEAKY), errors.APIConnectionError, True),
        (httpx.WriteError(LEAKY), errors.APIConnectionError, True),
        (httpx.RemoteProtocolError(LEAKY), errors.APIConnectionError, True),
        (httpx.ProxyError(LEAKY), errors.APIConnectionError, True),
        (httpx.LocalProtocolError(LEAKY), errors.APIConnectionError, False),
        (httpx.UnsupportedProtocol(LEAKY), errors.APIConnectionError, False),
        (httpx.DecodingError(LEAKY), errors.APIResponseError, False),
        (httpx.TooManyRedirects(LEAKY), errors.APIResponseError, False),
    ],
)
def test_each_cause_has_its_error_and_tells_no_secret(
    cause: httpx.RequestError, kind: type[errors.APIError], retryable: bool
) -> None:
    error = transport_error(SENT, cause)
    assert type(error) is kind
    assert error.retryable is retryable
    assert type(cause).__name__ in str(error)
    assert "GET /workspaces/ws_1/customers" in str(error)
    assert "secret" not in str(error)
    assert "jane" not in str(error)


def test_a_failed_connection_says_why() -> None:
    error = transport_error(SENT, httpx.ConnectError("[Errno 111] Connection refused"))
    assert str(error) == (
        "GET /workspaces/ws_1/customers: no connection: [Errno 111] Connection refused"
    )


@respx.mock
def test_the_cause_is_not_chained_for_it_could_show_a_header() -> None:
    respx.get(path__startswith="/v1").mock(side_effect=httpx.LocalProtocolError(LEAKY))
    dispatch = DispatchClient("sk_live_secret", "ws_1")
    with dispatch, pytest.raises(errors.APIConnectionError) as caught:
        dispatch.tickets.get("tkt_1")
    assert caught.value.__cause__ is caught.value.__context__ is None


@given(st.integers(0, 10**9 - 1))
def test_seconds_are_seconds(seconds: int) -> None:
    assert retry_after(str(seconds), lambda: NOW) == seconds


@given(st.timedeltas(timedelta(days=-1000), timedelta(days=1000)))
def test_a_date_is_the_seconds_until_then(distance: timedelta) -> None:
    header = format_datetime(NOW + distance, usegmt=True)
    waited = retry_after(header, lambda: NOW)
    assert waited is not None
    assert max(0, distance.total_seconds()) - 1 <= waited <= max(0, distance.total_seconds())


@given(st.text(max_size=40) | st.just("nan") | st.just("inf") | st.just("-1"))
def test_any_header_gives_finite_seconds_or_nothing(header: str) -> None:
    waited = retry_after(header, lambda: NOW)
    assert waited is None or 0 <= waited < float("inf")


@pytest.mark.parametrize("header", [None, "", "-5", "nan", "inf", "1e3", "tomorrow", "\u0661"])
def test_what_is_neither_seconds_nor_a_date_is_nothing(header: str | None) -> None:
    assert retry_after(header, lambda: NOW) is None


def test_a_date_without_a_zone_is_in_utc() -> None:
    assert retry_after("Mon, 15 Jan 2024 12:00:05 -0000", lambda: NOW) == 5
