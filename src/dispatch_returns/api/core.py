"""What the blocking and the async client have in common: everything but the I/O."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx

from dispatch_returns.api import arguments, protocol
from dispatch_returns.api.hooks import Hooks, ResponseInfo
from dispatch_returns.api.operation import Operation
from dispatch_returns.api.protocol import Clock, Request
from dispatch_returns.api.scope import Scope, Style
from dispatch_returns.errors import InvalidArgumentError

T = TypeVar("T")

BASE_URL = "https://api.dispatchtickets.com/v1"
TIMEOUT = 30.0


def utc_now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


class Core:
    """A client's settings, checked, and what follows from them for each call.

    Raises `InvalidArgumentError` naming the one that is wrong.
    """

    def __init__(
        self,
        *,
        api_key: str,
        workspace: str,
        base_url: str,
        style: Style,
        hooks: Hooks | None,
        clock: Clock,
    ) -> None:
        self.scope = Scope(workspace, style)
        self.base_url = arguments.web_address("base_url", base_url)
        self.hooks = hooks or Hooks()
        self._api_key = arguments.token("api_key", api_key)
        self._clock = clock

    def __str__(self) -> str:
        return f"{self.scope.workspace!r}, style={self.scope.style!r}, base_url={self.base_url!r}"

    def request(self, operation: Operation[Any]) -> Request:
        """Return the request of a call; all its attempts are this one."""
        new_key = secrets.token_hex(16) if operation.method == "POST" else None
        return protocol.request(operation, self.base_url, new_key)

    def value(self, operation: Operation[T], response: httpx.Response) -> T:
        """Return what was asked for, or raise the `APIError` that came instead."""
        if self.hooks.response is not None:
            self.hooks.response(
                ResponseInfo(
                    operation.method,
                    operation.path,
                    response.status_code,
                    protocol.request_id(response),
                    response.elapsed.total_seconds(),
                )
            )
        return protocol.read(operation, response, self._api_key, self._clock)


def time_limit(timeout: float | None) -> dict[str, Any]:
    """Return httpx's argument for `timeout` seconds; none where httpx's client decides."""
    if timeout is None:
        return {}
    if isinstance(timeout, bool) or not 0 < timeout < float("inf"):
        raise InvalidArgumentError("timeout", "must be a number of seconds above 0")
    return {"timeout": timeout}
