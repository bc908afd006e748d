"""A shop system's HTTP API: one call, and its errors as `OrderError`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from dispatch_returns.client.connections import Connections, quiet
from dispatch_returns.client.exact_json import loads
from dispatch_returns.errors import OrderError

M = TypeVar("M", bound=BaseModel)

TIMEOUT = 15.0
"""Seconds for each step of a call."""


class ShopApi:
    """Calls one shop, and never repeats a call. No error shows more than the status.

    After a fork a child opens its own connections, so that no process reads another's answer.

    ``remedy`` is what a person should do if the key is refused.
    """

    def __init__(
        self,
        shop: str,
        base_url: str,
        *,
        remedy: str,
        headers: Mapping[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        http_client: httpx.Client | None = None,
    ) -> None:
        self._shop = shop
        self._base_url = base_url
        self._remedy = remedy
        self._headers = dict(headers or {})
        self._auth = auth
        self._connections = Connections(http_client, TIMEOUT)

    def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Any = None,
    ) -> tuple[Any, Mapping[str, str]] | None:
        """Return the answer's JSON and headers; None for a 404. Raises `OrderError`."""
        http = self._connections.client
        request = http.build_request(
            method, f"{self._base_url}{path}", params=params, json=json, headers=self._headers
        )
        try:
            answer = http.send(quiet(request), auth=self._auth, follow_redirects=False)
        except httpx.HTTPError as error:
            raise self.error(
                f"cannot be reached ({type(error).__name__})", retryable=True
            ) from None
        status = answer.status_code
        if status == 404:
            return None
        if status in {401, 403}:
            raise self.refused(str(status))
        if status == 429:
            raise self.error("takes no more requests at the moment (429)", retryable=True)
        if status >= 500 or status == 408:
            raise self.error(f"failed ({status})", retryable=True)
        if status >= 300:
            raise self.error(f"answered {status}: check its address and version")
        try:
            return loads(answer.content), answer.headers
        except ValueError:
            raise self.error("did not answer with JSON", retryable=True) from None

    def close(self) -> None:
        """Close the connections, unless the HTTP client is the caller's own."""
        self._connections.close()

    def read(self, model: type[M], value: Any) -> M:
        """Return `value` as the shop documents it. Raises `OrderError` if it differs."""
        try:
            return model.model_validate(value)
        except ValidationError as error:
            where = ".".join(str(step) for step in error.errors(include_input=False)[0]["loc"])
            raise self.error(f"gave an undocumented answer ({where})") from None

    def error(self, problem: str, *, retryable: bool = False) -> OrderError:
        """Return the error that this shop caused; `problem` continues "Shopify ..."."""
        return OrderError(f"{self._shop} {problem}", retryable=retryable)

    def refused(self, status: str) -> OrderError:
        """Return the error for a refused key."""
        return self.error(f"refused the key ({status}): {self._remedy}")
