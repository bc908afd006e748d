"""Calls Stripe through its own SDK: each call once, and each failure as an `AdapterError`.

Importing this imports ``stripe``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, cast

import httpx
import stripe

from dispatch_returns.client.connections import Connections, quiet
from dispatch_returns.errors import AdapterError, ErrorKind
from dispatch_returns.refunds.adapters.http import NOT_SENT, plain
from dispatch_returns.refunds.adapters.stripe.rejections import rejection

_LONGEST_CONNECT = 10.0


_calling: ContextVar[bool] = ContextVar("dispatch_returns_calls_stripe", default=False)


def _no_bodies(record: logging.LogRecord) -> bool:
    """Drop what the SDK logs about our calls at DEBUG: whole bodies, with the customer's e-mail."""
    return record.levelno > logging.DEBUG or not _calling.get()


logging.getLogger("stripe").addFilter(_no_bodies)


@dataclass(frozen=True, slots=True)
class StripeAnswer:
    """The JSON object of a 2xx answer, and Stripe's id for the request."""

    data: dict[str, Any]
    request_id: str | None


class Wire:
    """One Stripe account's API. Safe to use from many threads."""

    def __init__(
        self, api_key: str, base_url: str | None, timeout: float, http_client: httpx.Client | None
    ) -> None:
        # The SDK has no switch for a single client. Left on, it writes a file into the user's home
        # and sends it along; a merchant's own use of the SDK loses nothing when it is off.
        stripe.enable_telemetry = False
        self._connections = Connections(http_client, timeout)
        client = stripe.StripeClient(
            api_key,
            base_addresses={"api": base_url} if base_url else {},
            max_network_retries=0,
            http_client=_PooledHTTP(self._connections, timeout),
        )
        # Not the typed services: half their time goes into objects that are read once, and they
        # turn one of Stripe's headers into a warning, after the money has moved.
        self._request = cast(
            "Callable[..., stripe.StripeResponse]",
            client.raw_request,  # pyright: ignore[reportUnknownMemberType] - untyped there
        )

    def get(self, path: str, account: str | None, **params: Any) -> StripeAnswer:
        """Read. Raises `AdapterError`."""
        return self._call("get", path, stripe_account=account, **params)

    def post(self, path: str, account: str | None, key: str, **params: Any) -> StripeAnswer:
        """Write, under an idempotency key. Raises `AdapterError`."""
        return self._call("post", path, stripe_account=account, idempotency_key=key, **params)

    def close(self) -> None:
        """Close the connections, unless the caller supplied the HTTP client."""
        self._connections.close()

    def _call(self, method: str, path: str, **params: Any) -> StripeAnswer:
        ours = _calling.set(True)
        try:
            response = self._request(method, path, **params)
        except stripe.StripeError as error:
            raise rejection(error.http_status, error.json_body, error.headers or {}) from None
        except NOT_SENT as error:
            raise AdapterError(
                ErrorKind.NOT_SENT,
                "Stripe cannot be reached, and nothing was sent: check the network and"
                f" status.stripe.com ({type(error).__name__})",
            ) from None
        except Exception as error:  # noqa: BLE001 - whatever broke, the money may have moved
            raise _unknown(type(error).__name__) from None
        finally:
            _calling.reset(ours)
        request_id = plain(response.headers.get("request-id"))
        data: object = response.data
        if not isinstance(data, dict):
            raise _unknown("not a JSON object", request_id)
        return StripeAnswer(cast("dict[str, Any]", data), request_id)


class _PooledHTTP(stripe.HTTPClient):
    """The SDK's calls over httpx: pooled, shared by threads, errors told apart."""

    name = "httpx"

    def __init__(self, connections: Connections, timeout: float) -> None:
        super().__init__()  # pyright: ignore[reportUnknownMemberType] - untyped there
        self._connections = connections
        self._timeout = httpx.Timeout(timeout, connect=min(timeout, _LONGEST_CONNECT))

    def request(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        post_data: Any = None,
        **_: Any,
    ) -> tuple[Any, int, Mapping[str, str]]:
        http = self._connections.client
        sent = http.build_request(
            method, url, headers=headers, content=post_data, timeout=self._timeout
        )
        response = http.send(quiet(sent), follow_redirects=False)
        return response.content, response.status_code, response.headers


def _unknown(why: str, request_id: str | None = None) -> AdapterError:
    return AdapterError(
        ErrorKind.UNKNOWN_OUTCOME,
        f"Stripe gave no answer that can be relied on: it may have been carried out ({why})",
        request_id=request_id,
    )
