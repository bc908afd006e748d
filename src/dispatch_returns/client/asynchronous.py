"""Carrying out calls, async: what `AsyncDispatchClient` and `AsyncPortalClient` have in common."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self, TypeVar

import anyio
import anyio.to_thread
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


class AsyncCaller:
    """The base of the async clients. `_attach` gives them their resources."""

    def __init__(
        self,
        core: Core,
        *,
        timeout: float | None,
        max_retries: int,
        http_client: httpx.AsyncClient | None,
        sleep: Callable[[float], Awaitable[None]] | None,
        random: Callable[[], float],
    ) -> None:
        self._core = core
        self._strategy = Strategy(core.hooks, max_retries, random)
        self._sleep = sleep
        self._options = time_limit(timeout)
        self._owns_http = http_client is None
        self._direct = direct.unless_proxied(httpx.AsyncHTTPTransport) if self._owns_http else None
        self._http = http_client or direct.open_client(
            httpx.AsyncClient, TIMEOUT, transport=self._direct
        )
        self._attach()

    def _attach(self) -> None:
        raise NotImplementedError

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

    async def call(self, operation: Operation[T]) -> T:
        """Carry out `operation`, with retries."""
        return (await self._exchange(operation))[0]

    async def call_raw(self, operation: Operation[T]) -> RawResponse[T]:
        """Carry out `operation`, and return its answer with the HTTP answer it came in."""
        return self._core.raw(*await self._exchange(operation))

    async def run(self, flow: Flow[T]) -> T:
        """Carry out the steps of `flow`, and return what it returns."""
        try:
            step = next(flow)
            while True:
                step = flow.send(await self._step(step))
        except StopIteration as end:
            answer: T = end.value
            return answer
        finally:
            flow.close()

    async def walk(self, first: Operation[Page[T]]) -> AsyncIterator[T]:
        """Return all that is on the page of `first` and on those after it, one by one."""
        walk = Walk(first)
        while walk.operation:
            for item in walk.take(await self.call(walk.operation)):
                yield item

    async def aclose(self) -> None:
        """Close the connections, unless they are of an `http_client` that was given."""
        if self._owns_http:
            await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._core})"

    async def _exchange(self, operation: Operation[T]) -> tuple[T, httpx.Response]:
        request = self._core.request(operation)

        async def send() -> tuple[T, httpx.Response]:
            if wait := self._core.wait():
                LOG.debug("%s waits %.1f s for the rate limit", request, wait)
                await (self._sleep or anyio.sleep)(wait)
            response = await self._sent(request)
            return self._core.value(operation, response), response

        return await self._tried(send, request)

    async def _step(self, step: Step) -> object:
        if isinstance(step, Operation):
            return await self.call(step)
        request = presigned(step)
        return await self._tried(lambda: self._transfer(request, step), request)

    async def _transfer(self, request: Request, step: Upload | Download) -> None:
        if not step.restart():
            raise spent(request)
        if isinstance(step, Upload):
            await self._put(request, step)
        else:
            await self._fetch(request, step)

    async def _tried(self, send: Callable[[], Awaitable[T]], request: Request) -> T:
        announce(self._core.hooks, request, attempt=1)
        try:
            return await send()
        except APIError as error:
            failed = Failed(error)
        retrying = self._strategy.asynchronous(self._sleep)
        answer: T = await retrying(_again, failed, send, request)
        return answer

    async def _sent(self, request: Request) -> httpx.Response:
        headers = {**self._core.headers, **request.headers}
        try:
            if self._direct is not None and not self._http.is_closed:
                return await direct.send_async(self._direct, whole(request, headers, self._options))
            built = self._http.build_request(
                request.method,
                request.url,
                headers=headers,
                content=request.content,
                **self._options,
            )
            return await self._http.send(quiet(built))
        except httpx.RequestError as cause:
            error = self._core.failed(request, cause)
        # Raised out here, for the cause could show the headers it was sent with.
        raise error

    async def _put(self, request: Request, upload: Upload) -> None:
        async def parts() -> AsyncIterator[bytes]:
            while part := await anyio.to_thread.run_sync(upload.read):
                yield part
                upload.passed(part)

        try:
            response = await self._http.send(unsigned(request, self._options, parts()), auth=None)
        except httpx.RequestError as cause:
            error = self._core.failed(request, cause)
        else:
            return self._core.transferred(request, response)
        raise error

    async def _fetch(self, request: Request, download: Download) -> None:
        built = unsigned(request, self._options, None)
        response: httpx.Response | None = None
        try:
            response = await self._http.send(built, auth=None, stream=True)
            if not response.is_success:
                await response.aread()
            self._core.transferred(request, response)
            async for part in response.aiter_bytes(CHUNK):
                await anyio.to_thread.run_sync(download.write, part)
        except httpx.RequestError as cause:
            error = self._core.failed(request, cause)
        else:
            return download.end()
        finally:
            if response is not None:
                await response.aclose()
        raise error


async def _again(failed: Failed, send: Callable[[], Awaitable[T]], request: Request) -> T:
    del request  # the strategy looks at it
    failed.raise_once()
    return await send()
