"""What the blocking and the async client have in common: everything but the I/O."""

from __future__ import annotations

import functools
import logging
import secrets
from typing import Any, TypeVar

import httpx

from dispatch_returns.client import arguments, protocol, rates
from dispatch_returns.client.hooks import Hooks, ResponseInfo
from dispatch_returns.client.operation import Operation
from dispatch_returns.client.protocol import Request
from dispatch_returns.client.raw import RawResponse
from dispatch_returns.client.scope import Scope, Style
from dispatch_returns.client.transfer import Download, Upload
from dispatch_returns.clock import Clock, ClockWatch
from dispatch_returns.errors import APIConnectionError, APIError, InvalidArgumentError

T = TypeVar("T")

BASE_URL = "https://api.dispatchtickets.com/v1"
TIMEOUT = 30.0
LOG = logging.getLogger("dispatch_returns.client")
"""At DEBUG, a line for each attempt: method, path, status, seconds and request id."""


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
        respect_rate_limit: bool = False,
        key_stays: bool = True,
    ) -> None:
        self.scope = Scope(workspace, style)
        self.base_url = arguments.web_address("base_url", base_url)
        self.hooks = hooks or Hooks()
        self.key_stays = key_stays
        self._clock = clock
        self._gate = rates.Gate() if respect_rate_limit else None
        self._last: httpx.Headers | None = None
        self.watch: ClockWatch | None = None
        self.use_key(api_key)
        if "_live_" in api_key and not arguments.is_private_way(self.base_url):
            raise InvalidArgumentError("base_url", "a live key goes over https only")

    def __str__(self) -> str:
        return f"{self.scope.workspace!r}, style={self.scope.style!r}, base_url={self.base_url!r}"

    def use_key(self, api_key: str) -> None:
        """Call with this key from now on."""
        self._api_key = arguments.token("api_key" if self.key_stays else "token", api_key)
        self.headers = protocol.common_headers(api_key)

    @property
    def rate_limit(self) -> rates.RateLimit | None:
        """What the last answer said of the rate limit."""
        # Read only when somebody asks: most calls are not followed by this question.
        return None if self._last is None else rates.read(self._last)

    def wait(self) -> float:
        """Count a call, and return the seconds it has to wait so as to keep within the limit."""
        return 0.0 if self._gate is None else self._gate.wait(self._clock())

    def request(self, operation: Operation[Any]) -> Request:
        """Return the request of a call; all its attempts are this one."""
        new_key = secrets.token_hex(16) if operation.method == "POST" else None
        return protocol.request(operation, self.base_url, new_key)

    def value(self, operation: Operation[T], response: httpx.Response) -> T:
        """Return what was asked for, or raise the `APIError` that came instead."""
        self._heard(operation.method, operation.path, response)
        self._last = response.headers
        if self.watch is not None:
            self.watch.note(response.headers)
        if self._gate is not None:
            self._gate.note(rates.read(response.headers))
        return protocol.read(operation, response, self._api_key, self._clock)

    def raw(self, value: T, response: httpx.Response) -> RawResponse[T]:
        """Return an answer with the HTTP answer it came in."""
        request_id = protocol.request_id(response)
        return RawResponse(response.status_code, request_id, response.headers, value)

    def transferred(self, request: Request, response: httpx.Response) -> None:
        """Raise unless a presigned address answered well."""
        self._heard(request.method, request.path, response)
        if not response.is_success:
            raise protocol.status_error(str(request), response, self._api_key, self._clock)

    def _heard(self, method: str, path: str, response: httpx.Response) -> None:
        if self.hooks.response is None and not LOG.isEnabledFor(logging.DEBUG):
            return
        status, request_id = response.status_code, protocol.request_id(response)
        seconds = response.elapsed.total_seconds() if response.is_closed else 0.0
        LOG.debug("%s %s: %d in %.3f s (request %s)", method, path, status, seconds, request_id)
        if self.hooks.response is not None:
            self.hooks.response(ResponseInfo(method, path, status, request_id, seconds))

    def failed(self, request: Request, cause: httpx.RequestError) -> APIError:
        """Return the error for a request that got no whole answer."""
        error = protocol.transport_error(request, cause)
        LOG.debug("%s: %s", request, type(error).__name__)
        return error


class QuietURL(httpx.URL):
    """An address whose query is shown nowhere: httpx logs the address of each request.

    A query holds what is searched for, such as an e-mail address, or a presigned permission.
    """

    def __str__(self) -> str:
        return str(httpx.URL(self, query=None))

    def __repr__(self) -> str:
        return f"URL({str(self)!r})"


def quiet(request: httpx.Request) -> httpx.Request:
    """Keep the query of a `request` out of logs."""
    if request.url.query:
        request.url = QuietURL(request.url)
    return request


def presigned(transfer: Upload | Download) -> Request:
    """Return a transfer as a request. It bears none of our headers."""
    arguments.web_address("presigned address", transfer.url.partition("?")[0])
    if isinstance(transfer, Download):
        return Request("GET", transfer.path, transfer.url, {}, None)
    headers = {"Content-Type": transfer.content_type, "Content-Length": str(transfer.size)}
    return Request("PUT", transfer.path, transfer.url, headers, None)


def unsigned(request: Request, options: dict[str, Any], content: Any) -> httpx.Request:
    """Return what httpx sends to a presigned address.

    It is made without httpx's client, whose headers and cookies are not for that address.
    """
    limit = {name: httpx.Timeout(seconds).as_dict() for name, seconds in options.items()}
    made = httpx.Request(
        request.method, request.url, headers=request.headers, content=content, extensions=limit
    )
    return quiet(made)


def whole(request: Request, headers: dict[str, str], options: dict[str, Any]) -> httpx.Request:
    """Return what httpx's transport sends: nothing is added to it on the way."""
    made = httpx.Request(
        request.method,
        request.url,
        headers=headers,
        content=request.content,
        extensions={"timeout": _limits(options.get("timeout", TIMEOUT))},
    )
    return quiet(made)


@functools.lru_cache
def _limits(seconds: float) -> dict[str, float | None]:
    return httpx.Timeout(seconds).as_dict()


def spent(request: Request) -> APIError:
    """Return the error for a transfer that failed half way and cannot be begun again."""
    message = f"{request}: failed half way, and this file cannot be wound back for another attempt"
    return APIConnectionError(message)


def time_limit(timeout: float | None) -> dict[str, Any]:
    """Return httpx's argument for `timeout` seconds; none where httpx's client decides."""
    if timeout is None:
        return {}
    if isinstance(timeout, bool) or not 0 < timeout < float("inf"):
        raise InvalidArgumentError("timeout", "must be a number of seconds above 0")
    return {"timeout": timeout}
