"""The sans-I/O core of both clients: how a call becomes attempts, and an attempt an answer.

An attempt is a generator. It yields what has to be done (`Pause`, `Send`) and is sent what came of
it. The drivers do those two things, each in its own way, and know nothing else.
"""

from __future__ import annotations

import copy
import logging
import secrets
from collections.abc import AsyncIterable, Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeAlias, TypeVar

import httpx

from dispatch_returns.client import arguments, protocol
from dispatch_returns.client.connections import quiet
from dispatch_returns.client.hooks import Hooks, ResponseInfo
from dispatch_returns.client.operation import Operation, RawResponse, Scope, Style
from dispatch_returns.client.protocol import ApiRequest
from dispatch_returns.client.retry import Gate, RateLimit, Retries, rate_limit
from dispatch_returns.client.transfer import Download, Upload
from dispatch_returns.clock import Clock, ClockWatch
from dispatch_returns.errors import APIConnectionError, InvalidArgumentError

T = TypeVar("T")

BASE_URL = "https://api.dispatchtickets.com/v1"
TIMEOUT = 30.0
"""Seconds, of each attempt."""
LOG = logging.getLogger("dispatch_returns.client")
"""At DEBUG, a line for each attempt: method, path, status, seconds and request id."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request; the result is the whole response, or the error that came instead of it.

    ``transfer``: the file whose bytes go out with the request, or come in with the response.
    """

    request: ApiRequest
    timeout: float | None
    transfer: Upload | Download | None = None

    def to_api(self, http: httpx.Client | httpx.AsyncClient) -> httpx.Request:
        """Return a request to the API, with what the `http` client adds to each of its own."""
        sent, timeout = self.request, httpx.USE_CLIENT_DEFAULT
        made = http.build_request(
            sent.method,
            sent.url,
            headers=sent.headers,
            content=sent.content,
            timeout=timeout if self.timeout is None else self.timeout,
        )
        return quiet(made)

    def to_storage(
        self, content: Iterable[bytes] | AsyncIterable[bytes] | None = None
    ) -> httpx.Request:
        """Return a request to a presigned address.

        It is made without the httpx client, whose headers and cookies are not for that address.
        """
        sent = self.request
        limits = {"timeout": httpx.Timeout(self.timeout).as_dict()} if self.timeout else {}
        made = httpx.Request(
            sent.method, sent.url, headers=sent.headers, content=content, extensions=limits
        )
        return quiet(made)


Attempt: TypeAlias = Generator[Pause | Send, Any, T]


@dataclass(frozen=True, slots=True)
class Options:
    """What may differ between the calls of one client. `timeout` is in seconds, of each attempt."""

    timeout: float | None = None
    max_retries: int = 3

    def __post_init__(self) -> None:
        limit = self.timeout
        if limit is not None and (type(limit) not in {int, float} or not 0 < limit < float("inf")):
            raise InvalidArgumentError("timeout", "must be a number of seconds above 0")
        if type(self.max_retries) is not int or self.max_retries < 0:
            raise InvalidArgumentError("max_retries", "must be a whole number, 0 or more")

    def changed(self, timeout: float | None, max_retries: int | None) -> Options:
        """Return the same with what is not None."""
        return Options(
            self.timeout if timeout is None else timeout,
            self.max_retries if max_retries is None else max_retries,
        )


@dataclass(frozen=True, slots=True)
class Exchange(Generic[T]):
    """One call: ``attempt`` begins each of its attempts, ``retries`` decides how many there are."""

    attempt: Callable[[], Attempt[T]]
    retries: Retries


class Core:
    """A client's settings, checked, and what it has learnt from its answers.

    Raises `InvalidArgumentError` naming the setting that is wrong.
    """

    def __init__(
        self,
        *,
        api_key: str,
        workspace: str,
        base_url: str,
        style: Style,
        hooks: Hooks | None,
        random: Callable[[], float],
        clock: Clock,
        respect_rate_limit: bool,
        key_is_token: bool = False,
    ) -> None:
        self.scope = Scope(workspace, style)
        self.base_url = arguments.web_address("base_url", base_url)
        self.watch: ClockWatch | None = None
        self._hooks = hooks or Hooks()
        self._random = random
        self._clock = clock
        self._gate = Gate() if respect_rate_limit else None
        self._last: httpx.Headers | None = None
        self._key_is_token = key_is_token
        self.use_key(api_key)
        if "_live_" in api_key and not arguments.is_private_way(self.base_url):
            raise InvalidArgumentError("base_url", "a live key goes over https only")

    def __str__(self) -> str:
        return f"{self.scope.workspace!r}, style={self.scope.style!r}, base_url={self.base_url!r}"

    def use_key(self, api_key: str) -> None:
        """Call with this key from now on."""
        self._api_key = arguments.token("token" if self._key_is_token else "api_key", api_key)
        self._headers = protocol.common_headers(api_key)

    def use_no_key(self) -> None:
        """Call without a key from now on."""
        self._headers = {name: it for name, it in self._headers.items() if name != "Authorization"}

    @property
    def rate_limit(self) -> RateLimit | None:
        """What the last answer said about the rate limit."""
        return None if self._last is None else rate_limit(self._last)

    def call(self, operation: Operation[T], options: Options) -> Exchange[RawResponse[T]]:
        """Return the exchange of a call. All its attempts send the same request."""
        new_key = secrets.token_hex(16) if operation.method == "POST" else None
        request = protocol.request(operation, self.base_url, self._headers, new_key)
        return Exchange(
            lambda: self._attempt(operation, request, options), self._retries(request, options)
        )

    def transfer(self, transfer: Upload | Download, options: Options) -> Exchange[None]:
        """Return the exchange of a file with a presigned address."""
        request = protocol.presigned(transfer)
        return Exchange(
            lambda: self._transfer(transfer, request, options), self._retries(request, options)
        )

    def _retries(self, request: ApiRequest, options: Options) -> Retries:
        return Retries(request, self._hooks, options.max_retries, self._random)

    def _attempt(
        self, operation: Operation[T], request: ApiRequest, options: Options
    ) -> Attempt[RawResponse[T]]:
        if self._gate is not None and (wait := self._gate.wait(self._clock())):
            LOG.debug("%s waits %.1f s for the rate limit", request, wait)
            yield Pause(wait)
        result = yield Send(request, options.timeout)
        response = self._arrived(request, result)
        self._last = response.headers
        if self.watch is not None:
            self.watch.note(response.headers)
        if self._gate is not None:
            self._gate.note(rate_limit(response.headers))
        value = protocol.read(operation, response, self._api_key, self._clock)
        request_id = protocol.request_id(response)
        return RawResponse(response.status_code, request_id, response.headers, value)

    def _transfer(
        self, transfer: Upload | Download, request: ApiRequest, options: Options
    ) -> Attempt[None]:
        if not transfer.restart():
            raise APIConnectionError(
                f"{request}: failed half way, and this file cannot be rewound for another attempt"
            )
        response = self._arrived(request, (yield Send(request, options.timeout, transfer)))
        if not response.is_success:
            raise protocol.status_error(str(request), response, self._api_key, self._clock)
        if isinstance(transfer, Download):
            transfer.end()

    def _arrived(
        self, request: ApiRequest, result: httpx.Response | httpx.RequestError
    ) -> httpx.Response:
        """Report a response to the hook and the log. Raise the error of a request without one."""
        if isinstance(result, httpx.RequestError):
            # Not as the cause: httpx's error holds the request, and that one the key.
            error = protocol.transport_error(request, result)
            LOG.debug("%s: %s", request, type(error).__name__)
            raise error
        if self._hooks.response is not None or LOG.isEnabledFor(logging.DEBUG):
            status, request_id = result.status_code, protocol.request_id(result)
            seconds = result.elapsed.total_seconds()
            LOG.debug("%s: %d in %.3f s (request %s)", request, status, seconds, request_id)
            if self._hooks.response is not None:
                info = ResponseInfo(request.method, request.path, status, request_id, seconds)
                self._hooks.response(info)
        return result


class Driver:
    """What both drivers have in common: no I/O. `_attach` gives a client its resources."""

    _owns_http: bool

    def __init__(self, core: Core, options: Options) -> None:
        self._core = core
        self._options = options
        self._attach()

    def _attach(self) -> None:
        raise NotImplementedError

    @property
    def scope(self) -> Scope:
        """The workspace, and the wire style in which the API is called."""
        return self._core.scope

    @property
    def rate_limit(self) -> RateLimit | None:
        """What the last answer said about the rate limit; None if it, or no answer yet, said so."""
        return self._core.rate_limit

    def watch_clock(self, watch: ClockWatch) -> None:
        """Give `watch` each answer's ``Date``."""
        self._core.watch = watch

    def with_options(self, *, timeout: float | None = None, max_retries: int | None = None) -> Self:
        """Return a client with another `timeout` (seconds, of each attempt) or `max_retries`.

        It shares the connections and the rate limit with this one, and closing it closes nothing.
        """
        other = copy.copy(self)
        other._owns_http = False
        other._options = self._options.changed(timeout, max_retries)
        other._attach()
        return other

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._core})"
