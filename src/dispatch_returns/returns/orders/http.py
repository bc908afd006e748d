"""A shop system's HTTP API: one call, and what went wrong in our words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from dispatch_returns.client.connections import Connections, quiet
from dispatch_returns.client.exact_json import loads
from dispatch_returns.errors import ConfigurationError, OrderError

M = TypeVar("M", bound=BaseModel)

TIMEOUT = 15.0
"""Seconds for each step of a call."""
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})


def checked_url(variable: str, url: str) -> str:
    """Return an address without its last slash. Raises `ConfigurationError`."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise ConfigurationError(f"{variable}: write the address whole: https://shop.example.com")
    if parts.query or parts.fragment:
        raise ConfigurationError(f"{variable}: the address alone, without ? and #")
    if parts.scheme == "http" and parts.hostname not in _LOCAL:
        raise ConfigurationError(f"{variable}: a key goes over https only")
    return url.rstrip("/")


class ShopApi:
    """Calls one shop, and never repeats a call. No error says more than the status.

    After a fork a child opens its own connections, so no process reads another's answer.

    ``remedy`` is what a person does when the key is refused.
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
        if answer.status_code == 404:
            return None
        self._check(answer.status_code)
        try:
            return loads(answer.content), answer.headers
        except ValueError:
            raise self.error("answered with something that is not JSON", retryable=True) from None

    def close(self) -> None:
        """Close the connections, unless the HTTP client was brought along."""
        self._connections.close()

    def read(self, model: type[M], value: Any) -> M:
        """Return `value` as the shop documents it. Raises `OrderError` where it is not so."""
        try:
            return model.model_validate(value)
        except ValidationError as error:
            where = ".".join(str(part) for part in error.errors(include_input=False)[0]["loc"])
            raise self.error(f"answered with something undocumented ({where})") from None

    def error(self, problem: str, *, retryable: bool = False) -> OrderError:
        """Return the error for something this shop did."""
        return OrderError(f"{self._shop} {problem}", retryable=retryable)

    def refused(self, status: str) -> OrderError:
        """Return the error for a key that is not let in."""
        return self.error(f"refused the key ({status}): {self._remedy}")

    def _check(self, status: int) -> None:
        if status in {401, 403}:
            raise self.refused(str(status))
        if status == 429:
            raise self.error("takes no more requests at this moment (429)", retryable=True)
        if status >= 500 or status == 408:
            raise self.error(f"failed ({status})", retryable=True)
        if status >= 300:
            raise self.error(f"answered {status}: check its address and version")
