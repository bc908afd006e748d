"""Carrying out calls, blocking: what `DispatchClient` and `PortalClient` have in common."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self, TypeVar

import httpx

from dispatch_returns.client import direct
from dispatch_returns.client.core import (
    LOG,
    TIMEOUT,
    Core,
    presigned,
    quiet,
    spent,
    time_limit,
    unsigned,
    whole,
)
from dispatch_returns.client.flow import Flow, Step
from dispatch_returns.client.operation import Operation, Page, Walk
from dispatch_returns.client.protocol import Request
from dispatch_returns.client.rates import RateLimit
from dispatch_returns.client.raw import RawResponse
from dispatch_returns.client.retry import Failed, Strategy, announce
from dispatch_returns.client.scope import Scope
from dispatch_returns.client.transfer import CHUNK, Download, Upload
from dispatch_returns.clock import ClockWatch
from dispatch_returns.errors import APIError

T = TypeVar("T")


class BlockingCaller:
    """The base of the blocking clients. `_attach` gives them their resources."""

    def __init__(
        self,
        core: Core,
        *,
        timeout: float | None,
        max_retries: int,
        http_client: httpx.Client | None,
        sleep: Callable[[float], None] | None,
        random: Callable[[], float],
    ) -> None:
        self._core = core
        self._strategy = Strategy(core.hooks, max_retries, random)
        self._sleep = sleep
        self._options = time_limit(timeout)
        self._owns_http = http_client is None
        self._connections = direct.Connections(http_client, TIMEOUT)
        self._attach()

    def _attach(self) -> None:
        raise NotImplementedError

    @property
    def _http(self) -> httpx.Client:
        return self._connections.client

    @property
    def scope(self) -> Scope:
        """The workspace, and the style in which it is spoken of."""
        return self._core.scope

    @property
    def rate_limit(self) -> RateLimit | None:
        """What the last answer said of the rate limit; None if it, or no answer yet, said so."""
        return self._core.rate_limit

    def watch_clock(self, watch: ClockWatch) -> None:
        """Have `watch` hear of each answer's ``Date``."""
        self._core.watch = watch

    def with_options(self, *, timeout: float | None = None, max_retries: int | None = None) -> Self:
        """Return a client with another `timeout` (seconds, of each attempt) or `max_retries`.

        It shares the connections and the rate limit with this one, and closing it closes nothing.
        """
        other = copy.copy(self)
        other._owns_http = False
        other._options = time_limit(timeout) or self._options
        if max_retries is not None:
            other._strategy = self._strategy.with_retries(max_retries)
        other._attach()
        return other

    def call(self, operation: Operation[T]) -> T:
        """Carry out `operation`, with retries."""
        return self._exchange(operation)[0]

    def call_raw(self, operation: Operation[T]) -> RawResponse[T]:
        """Carry out `operation`, and return its answer with the HTTP answer it came in."""
        return self._core.raw(*self._exchange(operation))

    def run(self, flow: Flow[T]) -> T:
        """Carry out the steps of `flow`, and return what it returns."""
        try:
            step = next(flow)
            while True:
                step = flow.send(self._step(step))
        except StopIteration as end:
            answer: T = end.value
            return answer
        finally:
            flow.close()

    def walk(self, first: Operation[Page[T]]) -> Iterator[T]:
        """Return all that is on the page of `first` and on those after it, one by one."""
        walk = Walk(first)
        while walk.operation:
            yield from walk.take(self.call(walk.operation))

    def close(self) -> None:
        """Close the connections, unless they are of an `http_client` that was given."""
        if self._owns_http:
            self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._core})"

    def _exchange(self, operation: Operation[T]) -> tuple[T, httpx.Response]:
        request = self._core.request(operation)

        def send() -> tuple[T, httpx.Response]:
            if wait := self._core.wait():
                LOG.debug("%s waits %.1f s for the rate limit", request, wait)
                (self._sleep or time.sleep)(wait)
            response = self._sent(request)
            return self._core.value(operation, response), response

        return self._tried(send, request)

    def _step(self, step: Step) -> object:
        if isinstance(step, Operation):
            return self.call(step)
        request = presigned(step)
        return self._tried(lambda: self._transfer(request, step), request)

    def _transfer(self, request: Request, step: Upload | Download) -> None:
        if not step.restart():
            raise spent(request)
        if isinstance(step, Upload):
            self._put(request, step)
        else:
            self._fetch(request, step)

    def _tried(self, send: Callable[[], T], request: Request) -> T:
        announce(self._core.hooks, request, attempt=1)
        try:
            return send()
        except APIError as error:
            failed = Failed(error)
        retrying = self._strategy.blocking(self._sleep)
        answer: T = retrying(_again, failed, send, request)
        return answer

    def _sent(self, request: Request) -> httpx.Response:
        headers = {**self._core.headers, **request.headers}
        try:
            transport = self._connections.transport
            if transport is not None and not self._http.is_closed:
                return direct.send(transport, whole(request, headers, self._options))
            built = self._http.build_request(
                request.method,
                request.url,
                headers=headers,
                content=request.content,
                **self._options,
            )
            return self._http.send(quiet(built))
        except httpx.RequestError as cause:
            error = self._core.failed(request, cause)
        # Raised out here, for the cause could show the headers it was sent with.
        raise error

    def _put(self, request: Request, upload: Upload) -> None:
        def parts() -> Iterator[bytes]:
            while part := upload.read():
                yield part
                upload.passed(part)

        try:
            response = self._http.send(unsigned(request, self._options, parts()), auth=None)
        except httpx.RequestError as cause:
            error = self._core.failed(request, cause)
        else:
            return self._core.transferred(request, response)
        raise error

    def _fetch(self, request: Request, download: Download) -> None:
        built = unsigned(request, self._options, None)
        response: httpx.Response | None = None
        try:
            response = self._http.send(built, auth=None, stream=True)
            if not response.is_success:
                response.read()
            self._core.transferred(request, response)
            for part in response.iter_bytes(CHUNK):
                download.write(part)
        except httpx.RequestError as cause:
            error = self._core.failed(request, cause)
        else:
            return download.end()
        finally:
            if response is not None:
                response.close()
        raise error


def _again(failed: Failed, send: Callable[[], T], request: Request) -> T:
    del request  # the strategy looks at it
    failed.raise_once()
    return send()
