"""The two drivers of the core, blocking and async. They differ in ``await`` alone.

A driver runs a flow: it does what each step asks for, and sends the result back in.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import aclosing, closing
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import anyio.to_thread
import httpx
from tenacity import AsyncRetrying, Retrying

from dispatch_returns.client.connections import AsyncConnections, Connections
from dispatch_returns.client.core import TIMEOUT, Core, Driver, Exchange, Options, Pause, Send
from dispatch_returns.client.operation import Operation, Page, RawResponse, Step, Walk
from dispatch_returns.client.transfer import CHUNK, Download, Upload

T = TypeVar("T")


class BlockingDriver(Driver):
    """Runs flows in the thread of the caller. Safe to share between threads."""

    def __init__(
        self,
        core: Core,
        options: Options,
        http_client: httpx.Client | None,
        sleep: Callable[[float], None] | None,
    ) -> None:
        self._owns_http = http_client is None
        self._connections = Connections(http_client, TIMEOUT)
        self._sleep = sleep or time.sleep
        super().__init__(core, options)

    def call(self, operation: Operation[T]) -> T:
        """Carry out `operation`, with retries."""
        return self.call_raw(operation).value

    def call_raw(self, operation: Operation[T]) -> RawResponse[T]:
        """Carry out `operation`, and return its answer with the HTTP answer it came in."""
        return self._tried(self._core.call(operation, self._options))

    def walk(self, first: Operation[Page[T]]) -> Iterator[T]:
        """Return all items of the page of `first` and of the pages after it, one by one."""
        walk = Walk(first)
        while walk.operation:
            yield from walk.take(self.call(walk.operation))

    def run(self, flow: Generator[Step | Pause | Send, Any, T]) -> T:
        """Carry out the steps of `flow`, and return what it returns."""
        result: object = None
        with closing(flow):
            while True:
                try:
                    step = flow.send(result)
                except StopIteration as end:
                    returned: T = end.value
                    return returned
                result = self._do(step)

    def close(self) -> None:
        """Close the connections, unless they are of an `http_client` that was given."""
        if self._owns_http:
            self._connections.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _do(self, step: Step | Pause | Send) -> object:
        if isinstance(step, Send):
            return self._send(step)
        if isinstance(step, Pause):
            self._sleep(step.seconds)
            return None
        if isinstance(step, Operation):
            return self.call(step)
        self._tried(self._core.transfer(step, self._options))
        return None

    def _tried(self, exchange: Exchange[T]) -> T:
        retrying = exchange.retries.loop(Retrying, self._sleep)
        return retrying(lambda: self.run(exchange.attempt()))

    def _send(self, send: Send) -> httpx.Response | httpx.RequestError:
        http = self._connections.open()
        try:
            if isinstance(send.transfer, Upload):
                return http.send(send.to_storage(_parts(send.transfer)), auth=None)
            if not isinstance(send.transfer, Download):
                return http.send(send.to_api(http))
            with closing(http.send(send.to_storage(), auth=None, stream=True)) as response:
                if not response.is_success:
                    response.read()
                else:
                    for part in response.iter_bytes(CHUNK):
                        send.transfer.write(part)
                return response
        except httpx.RequestError as error:
            return error


def _parts(upload: Upload) -> Iterator[bytes]:
    while part := upload.read():
        yield part
        upload.passed(part)


class AsyncDriver(Driver):
    """Like `BlockingDriver`, in the event loop. Safe to share between the tasks of one loop."""

    def __init__(
        self,
        core: Core,
        options: Options,
        http_client: httpx.AsyncClient | None,
        sleep: Callable[[float], Awaitable[None]] | None,
    ) -> None:
        self._owns_http = http_client is None
        self._connections = AsyncConnections(http_client, TIMEOUT)
        self._sleep = sleep or anyio.sleep
        super().__init__(core, options)

    async def call(self, operation: Operation[T]) -> T:
        """Carry out `operation`, with retries."""
        return (await self.call_raw(operation)).value

    async def call_raw(self, operation: Operation[T]) -> RawResponse[T]:
        """Carry out `operation`, and return its answer with the HTTP answer it came in."""
        return await self._tried(self._core.call(operation, self._options))

    async def walk(self, first: Operation[Page[T]]) -> AsyncIterator[T]:
        """Return all items of the page of `first` and of the pages after it, one by one."""
        walk = Walk(first)
        while walk.operation:
            for item in walk.take(await self.call(walk.operation)):
                yield item

    async def run(self, flow: Generator[Step | Pause | Send, Any, T]) -> T:
        """Carry out the steps of `flow`, and return what it returns."""
        result: object = None
        with closing(flow):
            while True:
                try:
                    step = flow.send(result)
                except StopIteration as end:
                    returned: T = end.value
                    return returned
                result = await self._do(step)

    async def aclose(self) -> None:
        """Close the connections, unless they are of an `http_client` that was given."""
        if self._owns_http:
            await self._connections.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _do(self, step: Step | Pause | Send) -> object:
        if isinstance(step, Send):
            return await self._send(step)
        if isinstance(step, Pause):
            await self._sleep(step.seconds)
            return None
        if isinstance(step, Operation):
            return await self.call(step)
        await self._tried(self._core.transfer(step, self._options))
        return None

    async def _tried(self, exchange: Exchange[T]) -> T:
        retrying = exchange.retries.loop(AsyncRetrying, self._sleep)

        async def attempt() -> T:
            return await self.run(exchange.attempt())

        return await retrying(attempt)

    async def _send(self, send: Send) -> httpx.Response | httpx.RequestError:
        http = self._connections.open()
        try:
            if isinstance(send.transfer, Upload):
                return await http.send(send.to_storage(_parts_read_aside(send.transfer)), auth=None)
            if not isinstance(send.transfer, Download):
                return await http.send(send.to_api(http))
            async with aclosing(
                await http.send(send.to_storage(), auth=None, stream=True)
            ) as response:
                if not response.is_success:
                    await response.aread()
                else:
                    async for part in response.aiter_bytes(CHUNK):
                        await anyio.to_thread.run_sync(send.transfer.write, part)
                return response
        except httpx.RequestError as error:
            return error


async def _parts_read_aside(upload: Upload) -> AsyncIterator[bytes]:
    while part := await anyio.to_thread.run_sync(upload.read):
        yield part
        upload.passed(part)
